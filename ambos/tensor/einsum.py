"""Einstein's summation on nodes: one contraction for every two operands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape
from ambos.graph.node import Node
from ambos.ops.contraction import contract, make_spec, plain
from ambos.ops.movement import pad, permute, slice_
from ambos.ops.reductions import sum_
from ambos.tensor.handle import reshaped
from ambos.tensor.operands import expand_to


def contract_all(equation: str, nodes: Sequence[Node]) -> Node:
    """The result of `equation` on operands of one dtype."""
    terms, result = _parse(equation, nodes)
    operands: list[tuple[Node, list[str]]] = []
    for node, term in zip(nodes, terms, strict=True):
        operands.append(_without_repeats(node, term))
    sizes = _sizes(equation, operands)
    while len(operands) > 1:
        first, second = _cheapest(operands, result, sizes)
        b, a = operands.pop(second), operands.pop(first)
        needed = set(result).union(*(labels for _, labels in operands))
        operands.insert(0, _two(a, b, needed, result, sizes))
    node, labels = _summed(*operands[0], set(result))
    node = permute(node, attrs=(tuple(labels.index(n) for n in result if n in labels),))
    order = [label for label in result if label in labels]
    assert order == list(result)
    return expand_to(node, tuple(sizes[label] for label in result))


def _parse(equation: str, nodes: Sequence[Node]) -> tuple[list[list[str]], list[str]]:
    """Labels of every operand and of the result; an ellipsis stands for labels of its own."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(nodes):
        raise ArgumentError(f"einsum: {equation!r} names {len(parts)} operands but {len(nodes)} "
                            "came; need as many")  # fmt: skip
    terms = [_labels(equation, part, node.rank) for part, node in zip(parts, nodes, strict=True)]
    widest = max((sum(len(n) > 1 for n in term) for term in terms), default=0)
    dots = [f"...{i}" for i in range(widest, 0, -1)]
    if arrow:
        head, ellipsis, tail = right.partition("...")
        result = [*head, *(dots if ellipsis else []), *tail]
    else:
        count = Counter(label for term in terms for label in term)
        result = [*dots, *sorted(n for n, times in count.items() if times == 1 and len(n) == 1)]
    known = {label for term in terms for label in term}
    unknown = [label for label in result if label not in known]
    if unknown or len(set(result)) != len(result):
        raise ArgumentError(f"einsum: the result of {equation!r} names {''.join(result)!r}; need "
                            "labels of the operands, each once")  # fmt: skip
    return terms, result


def _labels(equation: str, part: str, rank: int) -> list[str]:
    head, ellipsis, tail = part.partition("...")
    if not all(c.isalpha() for c in head + tail):
        raise ArgumentError(f"einsum: {part!r} in {equation!r}; need letters and at most one '...'")
    hidden = rank - len(head) - len(tail)
    if hidden < 0 or (hidden and not ellipsis):
        raise ShapeError(f"einsum: {part!r} names {len(head + tail)} axes of an operand with "
                         f"{rank}; need one label an axis, or '...'")  # fmt: skip
    return [*head, *(f"...{i}" for i in range(hidden, 0, -1)), *tail]


def _without_repeats(node: Node, term: list[str]) -> tuple[Node, list[str]]:
    """The diagonal of axes that share a label, one pair at a time."""
    while len(set(term)) < len(term):
        label = next(n for n in term if term.count(n) > 1)
        i, j = [k for k, n in enumerate(term) if n == label][:2]
        rest = [k for k in range(node.rank) if k not in (i, j)]
        extent = node.shape[i]
        if extent != node.shape[j]:
            raise ShapeError(f"einsum: label {label!r} has sizes {extent} and {node.shape[j]}; "
                             "need equal sizes")  # fmt: skip
        node = _diagonal(permute(node, attrs=((*rest, i, j),)), extent)
        term = [term[k] for k in rest] + [label]
    return node, term


def _diagonal(node: Node, extent: int) -> Node:
    """The diagonal of the last two axes: every (n + 1)-th element of them laid end to end."""
    head = node.shape[:-2]
    flat = reshaped(node, (*head, extent * extent))
    zeros = (0,) * len(head)
    padded = pad(flat, attrs=((*zeros, 0), (*zeros, extent)))
    rows = reshaped(padded, (*head, extent, extent + 1))
    window = (0,) * (len(head) + 2), (*head, extent, 1), (1,) * (len(head) + 2)
    return reshaped(slice_(rows, attrs=window), (*head, extent))


def _sizes(equation: str, operands: list[tuple[Node, list[str]]]) -> dict[str, int]:
    """Every label's size; axes of size 1 broadcast (only where the others are larger)."""
    sizes: dict[str, int] = {}
    for node, labels in operands:
        for label, extent in zip(labels, node.shape, strict=True):
            known = sizes.get(label, 1)
            if extent != 1 and known not in (1, extent):
                raise ShapeError(f"einsum: label {label!r} has sizes {known} and {extent} in "
                                 f"{equation!r}; need equal sizes")  # fmt: skip
            sizes[label] = max(known, extent) if extent else 0
    return sizes


def _cheapest(
    operands: list[tuple[Node, list[str]]], result: Sequence[str], sizes: dict[str, int]
) -> tuple[int, int]:
    """The pair whose product takes the fewest multiplications (greedy; the first of equals)."""
    best, chosen = None, (0, 1)
    for i in range(len(operands)):
        for j in range(i + 1, len(operands)):
            cost = 1
            for label in {*operands[i][1], *operands[j][1]}:
                cost *= sizes[label]
            if best is None or cost < best:
                best, chosen = cost, (i, j)
    return chosen


def _summed(node: Node, labels: list[str], needed: set[str]) -> tuple[Node, list[str]]:
    """Labels that nobody needs any more, summed."""
    axes = tuple(i for i, label in enumerate(labels) if label not in needed)
    if axes:
        node = sum_(node, attrs=(axes,))
    return node, [label for label in labels if label in needed]


def _two(
    a: tuple[Node, list[str]], b: tuple[Node, list[str]], needed: set[str],
    result: Sequence[str], sizes: dict[str, int],
) -> tuple[Node, list[str]]:  # fmt: skip
    """The contraction of two operands, keeping `needed` labels."""
    a_node, a_labels = _summed(*_spread(a, sizes), needed | set(b[1]))
    b_node, b_labels = _summed(*_spread(b, sizes), needed | set(a_labels))
    union = list(dict.fromkeys([*a_labels, *b_labels]))
    kept = [label for label in result if label in union]
    kept += [label for label in union if label in needed and label not in kept]
    contracted = [label for label in union if label not in kept]
    spec = make_spec(plain(a_labels), b_labels, kept, contracted, sizes)
    return contract(a_node, b_node, attrs=(spec,)), kept


def _spread(operand: tuple[Node, list[str]], sizes: dict[str, int]) -> tuple[Node, list[str]]:
    node, labels = operand
    shape: Shape = tuple(sizes[label] for label in labels)
    return expand_to(node, shape), labels
