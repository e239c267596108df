"""Gradients of recorded tensors: `backward()` and `autograd.grad`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ambos.autodiff.reverse import gradients, ones_like
from ambos.core.arguments import checked
from ambos.core.errors import ArgumentError, GradientError
from ambos.graph.node import Node, toposort
from ambos.tensor.creation import zeros_like
from ambos.tensor.gradient_hooks import accumulated, add_to_grad, turned
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.live import leaf_handle
from ambos.tensor.modes import set_grad_enabled
from ambos.tensor.operands import convert


def backward(
    x: Tensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Sequence[Tensor] | None = None,
) -> None:
    """Add d x / d leaf to `.grad` of every leaf that x depends on (or of `inputs` only).

    `gradient` weighs the elements of x and may be left out for a scalar. The graph lives as long
    as tensors that came from it, so a second call works; `retain_graph` has nothing to do.
    """
    seed = _seed("backward", x, gradient)
    if inputs is None:
        handles = _reached(x._node)
    else:
        handles = {h._node: h for h in ([inputs] if isinstance(inputs, Tensor) else inputs)}
    nodes = list(handles)
    with set_grad_enabled(create_graph):
        results = gradients([x._node], [seed], nodes, turned(handles))
        for node, found in zip(nodes, results, strict=True):
            if found is not None:
                add_to_grad(handles[node], found)
                accumulated(handles[node])


def _seed(op: str, x: Tensor, gradient: Any) -> Node:
    node = x._node
    if not node.tracked:
        raise GradientError(
            f"{op}: the tensor does not require grad; need requires_grad=True on what it is "
            "computed from, outside am.no_grad(). Results of a function under am.jit carry no "
            "gradient: there, need the loss and backward() inside of that function"
        )
    if gradient is None:
        if node.size != 1:
            raise GradientError(f"{op}: the tensor has shape {node.shape}; need a scalar: reduce "
                                "it with .sum() or .mean(), or pass gradient=")  # fmt: skip
        if node.dtype.is_complex:
            raise GradientError(f"{op}: the tensor is {node.dtype.name}; need a real scalar, for "
                                "example .abs() or .real, or pass gradient=")  # fmt: skip
        return ones_like(node)
    seed = node_of(gradient)
    if seed.shape != node.shape:
        raise GradientError(f"{op}: the gradient is {seed.shape} but the tensor is {node.shape}; "
                            "need equal shapes")  # fmt: skip
    return convert(seed, node.dtype)


def _reached(node: Node) -> dict[Node, Tensor]:
    """The live handles that collect gradients below `node`."""
    found = {}
    for inner in toposort([node], stop=lambda n: not n.tracked):
        if inner.tracked:
            handle = leaf_handle(inner)
            if handle is not None:
                found[inner] = handle
    return found


@checked
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of (a sum of) outputs with respect to inputs; `.grad` fields stay as they are.

    With `create_graph` the results can be differentiated again. Inputs that outputs do not depend
    on are an error unless `allow_unused`, which gives None for them, or `materialize_grads`, which
    gives zeros. `only_inputs` has nothing to do, as in PyTorch. With `is_grads_batched` each of
    `grad_outputs` has a further first axis, and so have the results: with an identity matrix, they
    are a Jacobian.

    Errors: GradientError for such inputs; ArgumentError for `only_inputs=False`.
    """
    if not only_inputs:
        raise ArgumentError("grad: only_inputs=False; need backward(), which fills .grad of all")
    if is_grads_batched:
        from ambos.tensor.vmap import vmap

        if grad_outputs is None:
            raise ArgumentError("grad: is_grads_batched without grad_outputs; need them, with a "
                                "first axis: am.eye(n) for n outputs")  # fmt: skip
        one = partial(grad, outputs, inputs, create_graph=create_graph, allow_unused=allow_unused,
                      materialize_grads=materialize_grads)  # fmt: skip
        several: tuple[Tensor | None, ...] = vmap(one)(grad_outputs)
        return several
    results = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    given = [grad_outputs] if isinstance(grad_outputs, Tensor) else grad_outputs
    weights = list(given) if given is not None else [None] * len(results)
    seeds = [_seed("grad", x, w) for x, w in zip(results, weights, strict=True)]
    with set_grad_enabled(create_graph):
        turn = turned({x._node: x for x in wanted})
        found = gradients([x._node for x in results], seeds, [x._node for x in wanted], turn)
    for number, node in enumerate(found):
        if node is None and not (allow_unused or materialize_grads):
            raise GradientError(f"grad: the outputs do not depend on input {number}; need inputs "
                                "that they use, or allow_unused=True")  # fmt: skip
    if materialize_grads:
        given_or_zeros = zip(found, wanted, strict=True)
        return tuple(zeros_like(x) if node is None else wrap(node) for node, x in given_or_zeros)
    return tuple(None if node is None else wrap(node) for node in found)
