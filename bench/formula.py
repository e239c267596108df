"""Cases that are one expression: written once per framework, run forward or with its gradients.

A subclass writes `ambos(**inputs)`, `torch(...)`, `jax(...)`, `tensorflow(...)`, `mlx(...)`: the
expression in that framework's words, on its own arrays, named as in `data`. The twins made of it
are what a best-practice user does around it: jit or compile, inference mode, gradients in the same
compiled function. Where an expression is missing there is no such twin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

import numpy as np

from bench.workload import Call, Case, Data

COTANGENT = "g"  # what the gradient of the result is called in `data`
EXPRESSIONS = {"ambos": "ambos", "torch": "torch", "torch compile": "torch", "jax": "jax",
               "tensorflow": "tensorflow", "mlx": "mlx"}  # fmt: skip


class Formula(Case):
    """An expression of arrays. `wanted` names the inputs whose gradients are asked for.

    Gradients are those of the result weighed with the input "g" (of a scalar result: plain ones).
    """

    wanted: tuple[str, ...] = ()
    keeps_result: bool = True  # whether the result is asked for next to the gradients
    random: bool = False  # whether JAX's expression takes a `seed`, another one at every call
    compiled: bool = False  # whether there is a twin for torch.compile, which costs seconds

    @property
    def without(self) -> Mapping[str, str]:  # type: ignore[override]
        missing = {
            twin: "not written"
            for twin, name in EXPRESSIONS.items()
            if not callable(getattr(self, name, None))
        }
        return missing | ({} if self.compiled else {"torch compile": "costs too much to compile"})

    def _expression(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(self, name)
        return found

    def _asked(self, result: Any, gradients: Iterable[Any]) -> list[Any]:
        if not self.wanted:  # sort and top-k have two results
            return list(result) if isinstance(result, (tuple, list)) else [result]
        return [result, *gradients] if self.keeps_result else list(gradients)

    def with_ambos(self, data: Data) -> Call:
        import ambos as am

        inputs = {n: am.tensor(a, requires_grad=n in self.wanted) for n, a in data.items()}
        g = inputs.pop(COTANGENT, None)
        am.evaluate(*inputs.values())
        variables = [inputs[name] for name in self.wanted]
        expression = self._expression("ambos")

        @am.jit
        def compute() -> list[am.Tensor]:
            result = expression(**inputs)
            return self._asked(result, am.autograd.grad(result, variables, g) if variables else ())

        return compute

    def with_torch(self, data: Data) -> Call:
        return self._torch(data, self._expression("torch"))

    def with_torch_compile(self, data: Data) -> Call:
        import torch

        return self._torch(data, torch.compile(self._expression("torch"), dynamic=False))

    def _torch(self, data: Data, expression: Callable[..., Any]) -> Call:
        import torch

        inputs = {name: torch.from_numpy(array) for name, array in data.items()}
        g = inputs.pop(COTANGENT, None)
        if not self.wanted:
            return torch.inference_mode()(lambda: expression(**inputs))
        variables = [inputs[name].requires_grad_() for name in self.wanted]

        def call() -> list[Any]:
            result = expression(**inputs)
            return self._asked(result, torch.autograd.grad(result, variables, g))

        return call

    def with_jax(self, data: Data) -> Call:
        import jax

        inputs = {name: jax.numpy.asarray(array) for name, array in data.items()}
        expression = self._expression("jax")

        @jax.jit
        def compute(inputs: dict[str, Any]) -> list[Any]:
            others = dict(inputs)
            g = others.pop(COTANGENT, None)
            variables = {name: others.pop(name) for name in self.wanted}
            if not variables:
                return self._asked(expression(**others), ())
            result, pull = jax.vjp(lambda v: expression(**v, **others), variables)
            gradients = pull(jax.numpy.ones_like(result) if g is None else g)[0]
            return self._asked(result, [gradients[name] for name in self.wanted])

        if not self.random:
            return lambda: jax.block_until_ready(compute(inputs))
        seeds = map(np.uint32, count())
        return lambda: jax.block_until_ready(compute(inputs | {"seed": next(seeds)}))

    def with_tensorflow(self, data: Data) -> Call:
        import tensorflow as tf

        inputs = {name: tf.constant(array) for name, array in data.items()}
        expression = self._expression("tensorflow")

        @tf.function(jit_compile=True)
        def compute(inputs: dict[str, Any]) -> list[Any]:
            others = dict(inputs)
            g = others.pop(COTANGENT, None)
            variables = [others[name] for name in self.wanted]
            with tf.GradientTape() as tape:
                tape.watch(variables)
                result = expression(**others)
            gradients = tape.gradient(result, variables, g) if variables else ()
            return self._asked(result, [tf.convert_to_tensor(x) for x in gradients])

        return lambda: compute(inputs)  # eager TensorFlow waits for the end

    def with_mlx(self, data: Data) -> Call:
        import mlx.core as mx

        inputs = {name: mx.array(array) for name, array in data.items()}
        g = inputs.pop(COTANGENT, None)
        variables = [inputs.pop(name) for name in self.wanted]
        mx.eval(*inputs.values(), *variables)
        expression = self._expression("mlx")

        def apply(*variables: Any) -> Any:
            return expression(**dict(zip(self.wanted, variables, strict=True)), **inputs)

        def compute(*variables: Any) -> list[Any]:
            if not variables:
                return self._asked(apply(), ())
            weight = [mx.array(1.0) if g is None else g]
            (result,), gradients = mx.vjp(apply, list(variables), weight)
            return self._asked(result, gradients)

        fast = mx.compile(compute)

        def call() -> list[Any]:
            results: list[Any] = fast(*variables)
            mx.eval(*results)
            return results

        return call


def filled(found: np.ndarray, dropped: np.ndarray, value: np.ndarray) -> np.ndarray:
    """What was dropped at random gets the value it would have had, so that twins can agree.

    Example:
        >>> filled(np.array([1.0, 0.0]), np.array([False, True]), np.array([1.0, 2.0]))
        array([1., 2.])
    """
    return np.where(dropped, value, found)
