"""Gradients against central differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ambos.autodiff import gradients
from ambos.core.dtype import float64
from ambos.core.errors import AmbosError
from ambos.graph.node import Node
from ambos.graph.verify import verify
from ambos.ops.sources import data
from ambos.testing.reference import evaluate as reference

Values = npt.NDArray[Any]
Function = Callable[..., Node | Sequence[Node]]
Memo = dict[Node, Values]
Evaluate = Callable[[Sequence[Node], Memo], Sequence[Values]]  # `reference.evaluate`, or like it

STEP = 6e-6  # the cube root of float64's rounding error: both errors of the difference are 4e-11
TOLERANCE = 2e-7  # relative to the largest derivative of that input, or to one


class GradcheckError(AmbosError, AssertionError):
    """A gradient that central differences contradict."""


def gradcheck(
    function: Function, inputs: Sequence[Node], *, evaluate: Evaluate = reference, seed: int = 0,
    elementwise: bool = False,
) -> None:  # fmt: skip
    """Check the gradients of `function`, which makes one or more nodes of the `inputs` it is
    called with, at the values that those Data leaves hold.

    Where it is `elementwise`, all elements of an input move at once. A result that depended on
    other elements, too, would move by the sum of its slopes, which the gradient is not.

    Dtypes:
        Differentiated with respect to float64 inputs that are tracked; others stay fixed.
    Errors:
        GradcheckError: which input, at which element, and both derivatives.
    """
    outputs, seeds = _outputs(function, inputs, seed)
    wanted = [number for number, node in enumerate(inputs) if _varies(node)]
    found = gradients(outputs, seeds, [inputs[number] for number in wanted])
    present = [node for node in found if node is not None]
    verify(present, "gradcheck")
    known: Memo = {}  # what does not depend on an input is computed once
    values = iter(evaluate(present, known))
    evaluate(outputs, known)
    for number, node in zip(wanted, found, strict=True):
        slopes = _slopes(function, inputs, number, evaluate, seed, known, elementwise)
        exact = np.zeros_like(slopes) if node is None else next(values)
        _compare(number, exact, slopes)


def gradgradcheck(
    function: Function, inputs: Sequence[Node], *, evaluate: Evaluate = reference, seed: int = 0,
    elementwise: bool = False,
) -> None:  # fmt: skip
    """Check the gradients of the gradients of `function`, also with respect to the seeds."""
    _, seeds = _outputs(function, inputs, seed)
    count = len(inputs)

    def first(*leaves: Node) -> list[Node]:
        made = function(*leaves[:count])
        nodes = [made] if isinstance(made, Node) else list(made)
        wanted = [leaf for leaf in leaves[:count] if _varies(leaf)]
        grads = gradients(nodes, leaves[count:], wanted)
        return [node for node in grads if node is not None and node.tracked]

    tracked = [data.leaf(s.value, s.shape, s.dtype, tracked=True) for s in seeds]
    gradcheck(first, [*inputs, *tracked], evaluate=evaluate, seed=seed + 1, elementwise=elementwise)


def _varies(node: Node) -> bool:
    return node.tracked and node.dtype is float64


def _outputs(
    function: Function, inputs: Sequence[Node], seed: int
) -> tuple[list[Node], list[Node]]:
    """What the function makes, and a random weight for each element of it."""
    made = function(*inputs)
    outputs = [made] if isinstance(made, Node) else list(made)
    rng = np.random.default_rng(seed + 99)
    weights = [rng.uniform(0.5, 1.5, node.shape) for node in outputs]
    seeds = [
        data.leaf(np.asarray(w), node.shape, float64)
        for w, node in zip(weights, outputs, strict=True)
    ]
    return outputs, seeds


def _slopes(
    function: Function, inputs: Sequence[Node], number: int, evaluate: Evaluate, seed: int,
    known: Memo, elementwise: bool,
) -> Values:  # fmt: skip
    """The derivative of the weighted sum of the outputs by each element of one input. `known` are
    values of nodes that another graph may have as well."""
    centre = np.asarray(inputs[number].value, np.float64)
    slopes = np.zeros(centre.shape)
    for place in [...] if elementwise else np.ndindex(centre.shape):
        ends = []
        for sign in (1, -1):
            moved = centre.copy()
            moved[place] += sign * STEP
            leaf = data.leaf(moved, centre.shape, float64, tracked=True)
            leaves = [*inputs[:number], leaf, *inputs[number + 1 :]]
            outputs, seeds = _outputs(function, leaves, seed)
            ends.append((evaluate(outputs, dict(known)), [s.value for s in seeds]))
        (above, weights), (below, _) = ends
        # Differences first, sums second: what did not move cancels exactly.
        parts = [(a - b) * w for a, b, w in zip(above, below, weights, strict=True)]
        slopes[place] = sum(part if elementwise else np.sum(part) for part in parts) / (2 * STEP)
    return slopes


def _compare(number: int, exact: Values, slopes: Values) -> None:
    scale = max(1.0, float(np.max(np.abs(slopes), initial=0.0)))
    wrong = ~(np.abs(exact - slopes) <= TOLERANCE * scale)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise GradcheckError(
            f"gradcheck: input {number}, element {place}: the gradient is {exact[place]:.10g}, "
            f"differences give {slopes[place]:.10g} ({int(wrong.sum())} of {wrong.size} differ)"
        )
