"""Functions of functions: grad, vmap and loops in the graph, and what a jitted call costs.

An expression is written once, in words that JAX, ambos and torch.func share (`kit`), and jitted as
a whole with its inputs as a tree. PyTorch has no loop in its graph: there Python loops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.models import gpt
from bench.workload import Call, Case, Data, normal
from bench.workloads.steps import Step

Expression = Callable[[Any, dict[str, Any]], Any]  # (words, inputs) -> results
UNROLLS = "torch.compile unrolls the loop: minutes"
LONG = "torch.compile takes minutes"


# --- the words of each framework -----------------------------------------------------------------


def jax_kit() -> Any:
    import jax

    modules = (jax.numpy, jax.nn, jax.lax, jax)
    return SimpleNamespace(**{name: found for m in modules for name, found in vars(m).items()})


def torch_kit() -> Any:
    import torch

    def scan(step: Any, carry: Any, xs: Any, length: int | None = None) -> Any:
        results = []
        for number in range(len(xs) if length is None else length):
            carry, y = step(carry, None if xs is None else xs[number])
            results.append(y)
        return carry, None if results[-1] is None else torch.stack(results)

    def while_loop(condition: Any, body: Any, state: Any) -> Any:
        while condition(state):
            state = body(state)
        return state

    def fori_loop(lower: int, upper: int, body: Any, value: Any) -> Any:
        for number in range(lower, upper):
            value = body(number, value)
        return value

    def cond(choice: Any, one: Any, other: Any, *operands: Any) -> Any:
        return one(*operands) if choice else other(*operands)

    own = {"scan": scan, "while_loop": while_loop, "fori_loop": fori_loop, "cond": cond,
           "array": torch.tensor}  # fmt: skip
    return SimpleNamespace(**vars(torch) | vars(torch.func) | own)


class Transform(Case):
    """An expression of a dictionary of inputs, jitted as a whole. With `trains`, its first result
    are the inputs "net.*" of the next call, which nobody else holds, and the rest is compared."""

    def __init__(
        self, name: str, title: str, expression: Expression, data: Callable[[], Data],
        trains: bool = False, **facts: Any,
    ) -> None:  # fmt: skip
        self.name, self.title, self.expression, self.make = name, title, expression, data
        self.trains = trains
        without: Mapping[str, str] = facts.pop("without", {})
        self.without = without
        for fact, value in facts.items():
            setattr(self, fact, value)

    def data(self) -> Data:
        return self.make()

    def with_ambos(self, data: Data) -> Call:
        import ambos as am

        inputs = {name: am.tensor(array) for name, array in data.items()}
        run = am.jit(partial(self.expression, am), donate_argnums=0 if self.trains else ())
        return self._calls(run, inputs)

    def with_jax(self, data: Data) -> Call:
        import jax

        inputs = {name: jax.numpy.asarray(array) for name, array in data.items()}
        call = self._calls(jax.jit(partial(self.expression, jax_kit()),
                                   donate_argnums=0 if self.trains else ()), inputs)  # fmt: skip
        return lambda: jax.block_until_ready(call())

    def with_torch(self, data: Data) -> Call:
        return self._torch(data, partial(self.expression, torch_kit()))

    def with_torch_compile(self, data: Data) -> Call:
        import torch

        run = torch.compile(partial(self.expression, torch_kit()), dynamic=False)
        return self._torch(data, run)

    def _torch(self, data: Data, run: Callable[..., Any]) -> Call:
        import torch

        return self._calls(run, {name: torch.from_numpy(array) for name, array in data.items()})

    def _calls(self, run: Callable[..., Any], inputs: dict[str, Any]) -> Call:
        if not self.trains:
            return lambda: run(inputs)
        state = inputs

        def call() -> Any:
            nonlocal state
            state, result = run(state)
            return result

        return call


# --- networks ------------------------------------------------------------------------------------


def perceptron(kit: Any, p: Mapping[str, Any], x: Any) -> Any:
    """tanh between layers w0, w1, ... of weights (in, out)."""
    layers = sum(name.startswith("w") for name in p)
    for i in range(layers):
        x = x @ p[f"w{i}"] + p[f"b{i}"]
        x = kit.tanh(x) if i + 1 < layers else x
    return x


def perceptron_weights(*widths: int, **others: np.ndarray) -> dict[str, np.ndarray]:
    weights = {}
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        weights[f"w{i}"] = normal(i, inputs, outputs, scale=inputs**-0.5)
        weights[f"b{i}"] = normal(i + 10, outputs, scale=0.1)
    return weights | others


def parts(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights and biases, and the rest."""
    p = {name: value for name, value in inputs.items() if name[0] in "wb"}
    return p, {name: value for name, value in inputs.items() if name not in p}


# --- gradients by example, second derivatives, ensembles -----------------------------------------

BATCH = 64


def classifier_data() -> Data:
    hot = np.eye(10, dtype=np.float32)[np.arange(BATCH) % 10]
    return perceptron_weights(784, 256, 10, x=normal(3, BATCH, 784), y=hot)


def entropy(kit: Any, p: Mapping[str, Any], x: Any, y: Any) -> Any:
    return -(kit.log_softmax(perceptron(kit, p, x), -1) * y).sum()


def per_example(kit: Any, inputs: dict[str, Any]) -> Any:
    p, rest = parts(inputs)
    return kit.vmap(kit.grad(partial(entropy, kit)), (None, 0, 0))(p, rest["x"], rest["y"])


def of_batch(kit: Any, inputs: dict[str, Any]) -> Any:
    p, rest = parts(inputs)
    return kit.grad(partial(entropy, kit))(p, rest["x"], rest["y"])


def clipped(kit: Any, inputs: dict[str, Any]) -> Any:
    """Gradients by example, each cut to a norm of at most 1, and added up (private training)."""

    def one(p: dict[str, Any], x: Any, y: Any) -> Any:
        grads = kit.grad(partial(entropy, kit))(p, x, y)
        squares: Any = sum((grad * grad).sum() for grad in grads.values())
        scale = 1 / (1 + kit.relu(kit.sqrt(squares) - 1))
        return {name: grad * scale for name, grad in grads.items()}

    p, rest = parts(inputs)
    found = kit.vmap(one, (None, 0, 0))(p, rest["x"], rest["y"])
    return {name: grad.sum(0) for name, grad in found.items()}


def energy(kit: Any, inputs: dict[str, Any]) -> Callable[[Any], Any]:
    """A number for a point."""
    return lambda x: (perceptron(kit, parts(inputs)[0], x) ** 2).sum()


def hessians(kit: Any, inputs: dict[str, Any]) -> Any:
    return kit.vmap(kit.hessian(energy(kit, inputs)))(inputs["x"])


def hessian_product(kit: Any, inputs: dict[str, Any]) -> Any:
    """The Hessian of the loss in the weights times a direction: forward over reverse."""
    p, rest = parts(inputs)
    loss = lambda p: (perceptron(kit, p, rest["x"]) ** 2).mean()
    direction = {name: rest[f"v{name}"] for name in p}
    return kit.jvp(kit.grad(loss), (p,), (direction,))[1]


def jacobians(way: str, kit: Any, inputs: dict[str, Any]) -> Any:
    p = parts(inputs)[0]
    return kit.vmap(getattr(kit, way)(lambda x: perceptron(kit, p, x)))(inputs["x"])


def directed_data() -> Data:
    weights = perceptron_weights(64, 128, 128, 10)
    directions = {f"v{name}": normal(20, *value.shape) for name, value in weights.items()}
    return weights | directions | {"x": normal(3, BATCH, 64)}


NETWORKS = 10


def ensemble_data() -> Data:
    members = [perceptron_weights(1, 32, 1) for _ in range(NETWORKS)]
    scales = np.linspace(0.5, 1.5, NETWORKS, dtype=np.float32)
    weights = {
        name: np.stack(
            [member[name] * scale for member, scale in zip(members, scales, strict=True)]
        )
        for name in members[0]
    }
    x = normal(3, BATCH, 1)
    return weights | {"x": x, "y": np.sin(2 * x)}


def ensemble(kit: Any, inputs: dict[str, Any]) -> Any:
    """A step of gradient descent of ten networks."""
    p, rest = parts(inputs)

    def step(p: dict[str, Any], x: Any, y: Any) -> Any:
        def loss_of(p: dict[str, Any]) -> Any:
            loss = ((perceptron(kit, p, x) - y) ** 2).mean()
            return loss, loss

        grads, loss = kit.grad(loss_of, has_aux=True)(p)
        return {name: p[name] - 1e-3 * grads[name] for name in p}, loss

    p, losses = kit.vmap(step, (0, None, None))(p, rest["x"], rest["y"])
    return p | rest, losses


# --- loops ---------------------------------------------------------------------------------------


def recurrent_data() -> Data:
    """A thousand steps; inputs are projected for all steps at once."""
    return {
        "w0": normal(0, 64, 64, scale=0.1), "w1": normal(1, 64, 64, scale=0.1), "b0": normal(2, 64),
        "x": normal(3, 1000, 32, 64), "start": np.zeros((32, 64), np.float32),
    }  # fmt: skip


def recurrent(kit: Any, inputs: dict[str, Any]) -> Any:
    w = inputs["w1"]

    def step(state: Any, x: Any) -> Any:
        state = kit.tanh(x + state @ w)
        return state, state

    return kit.scan(step, inputs["start"], inputs["x"] @ inputs["w0"] + inputs["b0"])[1]


def recurrent_gradient(kit: Any, inputs: dict[str, Any]) -> Any:
    p, rest = parts(inputs)
    return kit.grad(lambda p: (recurrent(kit, p | rest) ** 2).mean())(p)


def filtered(kit: Any, inputs: dict[str, Any]) -> Any:
    """A number that follows others."""

    def step(state: Any, x: Any) -> Any:
        state = kit.tanh(0.9 * state + x)
        return state, state

    return kit.scan(step, inputs["start"], inputs["x"])


def orbit_gradient(kit: Any, inputs: dict[str, Any]) -> Any:
    """Of a loss on four paths through a field of velocities, by Runge and Kutta's method."""
    p, rest = parts(inputs)
    h = 3.0 / 160

    def path(p: dict[str, Any], start: Any) -> Any:
        velocity = partial(perceptron, kit, p)

        def step(x: Any, _: Any) -> Any:
            k1 = velocity(x)
            k2 = velocity(x + h / 2 * k1)
            k3 = velocity(x + h / 2 * k2)
            k4 = velocity(x + h * k3)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            return x, x

        return kit.scan(step, start, None, length=160)[1]

    def loss(p: dict[str, Any]) -> Any:
        return (kit.vmap(path, (None, 0))(p, rest["x"]) ** 2).mean()

    return kit.grad(loss)(p)


def kepler(kit: Any, inputs: dict[str, Any]) -> Any:
    """Newton's iteration for E - 0.9 sin E = M, until no E of a thousand moves any more."""
    m = inputs["m"]

    def body(state: Any) -> Any:
        e, _ = state
        moved = (e - 0.9 * kit.sin(e) - m) / (1 - 0.9 * kit.cos(e))
        return e - moved, abs(moved).max()

    return kit.while_loop(lambda state: state[1] > 1e-4, body, (m, m.max()))[0]


# --- what a call costs beside its kernels --------------------------------------------------------


class Overhead(Case):
    """A step of gradient descent on many small parameters, whose arithmetic is nothing."""

    threads = (1,)
    compared = 3
    patience = 240.0
    rate = 1e-6  # thousands of calls, and no number that becomes subnormal

    def __init__(self, parameters: int, **without: str) -> None:
        self.name = f"overhead-{parameters}"
        self.title = f"jitted step of {parameters} parameters of 8 elements"
        self.parameters = parameters
        self.without = {name.replace("_", " "): reason for name, reason in without.items()}

    def data(self) -> Data:
        return {f"p{i}": normal(i, 8) for i in range(self.parameters)}

    def with_ambos(self, data: Data) -> Call:
        import ambos as am

        params = [am.tensor(array, requires_grad=True) for array in data.values()]
        optimizer = am.optim.SGD(params, lr=self.rate)

        @am.jit
        def step() -> Any:
            loss: Any = sum((p * p).sum() for p in params)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return lambda: step().item()

    def with_ambos_functional(self, data: Data) -> Call:
        import ambos as am

        run = am.jit(partial(self._step, am.value_and_grad), donate_argnums=0)
        return self._calls(run, {name: am.tensor(array) for name, array in data.items()})

    def with_jax(self, data: Data) -> Call:
        import jax

        run = jax.jit(partial(self._step, jax.value_and_grad), donate_argnums=0)
        return self._calls(run, {name: jax.numpy.asarray(array) for name, array in data.items()})

    def _step(self, value_and_grad: Any, params: dict[str, Any]) -> Any:
        loss, grads = value_and_grad(lambda p: sum((v * v).sum() for v in p.values()))(params)
        return {name: params[name] - self.rate * grads[name] for name in params}, loss

    def _calls(self, run: Callable[..., Any], params: dict[str, Any]) -> Call:
        state = params

        def call() -> Any:
            nonlocal state
            state, loss = run(state)
            return loss.item()

        return call

    def with_torch(self, data: Data) -> Call:
        return self._torch(data, lambda function: function)

    def with_torch_compile(self, data: Data) -> Call:
        import torch

        return self._torch(data, torch.compile)

    def _torch(self, data: Data, compiled: Callable[[Any], Any]) -> Call:
        import torch

        params = [torch.from_numpy(array.copy()).requires_grad_() for array in data.values()]
        optimizer = torch.optim.SGD(params, lr=self.rate, fused=True)
        loss_of = compiled(lambda: sum((p * p).sum() for p in params))

        def call() -> Any:
            loss = loss_of()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item()

        return call


# --- tracing and compiling -----------------------------------------------------------------------

DEEP = 12


class Deep(Step):
    """A transformer of twelve layers, for its first calls: cold and warm."""

    threads = (1,)

    def __init__(self) -> None:
        super().__init__(
            f"trace-gpt{DEEP}", f"GPT of {DEEP} layers, 1x256 tokens, AdamW, first calls",
            partial(gpt.step_data, 1, layers=DEEP), gpt.step_flops(1, layers=DEEP),
            partial(gpt.module, layers=DEEP), partial(gpt.forward, layers=DEEP),
            "adamw", 3e-4, without={"torch compile": LONG, "ambos eager": "never traced"},
        )  # fmt: skip


LOOPS = {"torch compile": UNROLLS}

CASES = [
    Overhead(1),
    Overhead(10),
    Overhead(100),
    Overhead(1000, torch_compile=LONG),
    Transform(
        f"per_example-{BATCH}", f"gradients of each of {BATCH} examples, MLP 784-256-10",
        per_example, classifier_data,
    ),
    Transform(
        f"batch_gradient-{BATCH}", "their sum, which is the gradient of the batch",
        of_batch, classifier_data,
    ),
    Transform(
        f"private-{BATCH}", "the same, each clipped, and then added up", clipped, classifier_data,
    ),
    Transform(
        "hessian-32", f"Hessians of {BATCH} points, MLP 32-64-64-8", hessians,
        lambda: perceptron_weights(32, 64, 64, 8, x=normal(3, BATCH, 32)),
        without={"torch compile": "Dynamo fails at it, and torch.func is of no use afterwards"},
    ),
    Transform(
        "hvp-64", f"Hessian times vector, MLP 64-128-128-10, batch {BATCH}", hessian_product,
        directed_data,
    ),
    *(
        Transform(
            f"jacobian-{way}", f"Jacobians of {BATCH} points by {way}, MLP 32-64-64-32",
            partial(jacobians, way),
            lambda: perceptron_weights(32, 64, 64, 32, x=normal(3, BATCH, 32)),
        )
        for way in ("jacfwd", "jacrev")
    ),
    Transform(
        f"ensemble-{NETWORKS}", f"a training step of {NETWORKS} networks at once", ensemble,
        ensemble_data, trains=True, compared=3,
    ),
    Transform(
        "rnn_scan-forward", "1,000 steps, hidden 64, batch 32", recurrent, recurrent_data,
        without=LOOPS,
    ),
    Transform(
        "rnn_scan-gradient", "1,000 steps, hidden 64, batch 32", recurrent_gradient,
        recurrent_data, tolerance=1e-3, without=LOOPS,
    ),
    Transform(
        "scalar_scan-10000", "10,000 steps of one number", filtered,
        lambda: {"x": normal(0, 10_000), "start": np.zeros((), np.float32)}, without=LOOPS,
    ),
    Transform(
        "ode_scan-gradient", "Runge-Kutta, 160 steps, 4 paths, MLP 2-32-2", orbit_gradient,
        lambda: perceptron_weights(2, 32, 2, x=normal(3, 4, 2)), without=LOOPS,
    ),
    Transform(
        "newton_while", "Kepler's equation, 1,000 of them until converged", kepler,
        lambda: {"m": np.linspace(0.1, 3.0, 1000, dtype=np.float32)}, tolerance=1e-3,
        without=LOOPS,
    ),
    Deep(),
]  # fmt: skip
