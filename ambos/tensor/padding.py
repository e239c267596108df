"""Elements around a tensor: zeros, a value, or its own mirrored, repeated or wrapped."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any

from ambos.core.dtype import bool_
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.unknown import is_unknown, larger, refuse, smaller
from ambos.graph.node import Node
from ambos.ops import movement as ops
from ambos.ops.arithmetic import where
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.movement import cut_axis
from ambos.tensor.names import public
from ambos.tensor.operands import expand_to, scalar


@public
def pad(x: Any, padding: Any, mode: str = "constant", value: bool | int | float = 0) -> Tensor:
    """`value` (or mirrored, repeated, wrapped elements) around `x`.

    `padding` is PyTorch's flat list, last axis first: (left, right, top, bottom, ...), or
    NumPy's pairs, first axis first: ((top, bottom), (left, right)). Negative counts crop.
    Modes: constant, reflect, replicate (edge), circular (wrap).

    Example:
        >>> import ambos as am
        >>> am.pad(am.tensor([1, 2, 3]), (2, 1), mode="reflect").tolist()
        [3, 2, 1, 2, 3, 2]
    """
    node = node_of(x)
    sides = _sides(node, padding)
    modes = {"edge": "replicate", "wrap": "circular", "symmetric": "symmetric"}
    mode = modes.get(mode, mode)
    if mode == "constant":
        return wrap(_pad_constant(node, sides, value))
    if mode not in ("reflect", "replicate", "circular"):
        raise ArgumentError(f"pad: mode {mode!r}; need constant, reflect, replicate or circular")
    for axis, (before, after) in enumerate(sides):
        node = _pad_one(node, axis, before, after, mode)
    return wrap(node)


@public
def constant_pad_nd(x: Any, padding: Any, value: bool | int | float = 0) -> Tensor:
    """`pad` with a value, under PyTorch's name.

    Example:
        >>> import ambos as am
        >>> am.constant_pad_nd(am.tensor([1, 2]), (1, 2), 7).tolist()
        [7, 1, 2, 7, 7]
    """
    return pad(x, padding, value=value)


def _sides(node: Node, padding: Any) -> list[tuple[int, int]]:
    if isinstance(padding, int):
        return [(padding, padding)] * node.rank
    if not isinstance(padding, Iterable):
        raise ArgumentError(f"pad: padding is {padding!r}; need two counts an axis")
    entries = list(padding)
    if entries and not isinstance(entries[0], int):
        if builtins.any(not isinstance(pair, Iterable) or len([*pair]) != 2 for pair in entries):
            raise ArgumentError(f"pad: padding is {entries}; need pairs of counts")
        pairs = [(int(a), int(b)) for a, b in entries]
        pairs = pairs * node.rank if len(pairs) == 1 else pairs
        if len(pairs) != node.rank:
            raise ShapeError(f"pad: {len(pairs)} pairs for {node.shape}; need one an axis")
        return pairs
    if len(entries) % 2 or len(entries) > 2 * node.rank:
        raise ShapeError(f"pad: {len(entries)} counts for {node.shape}; need two an axis, "
                         "the last axis first")  # fmt: skip
    pairs = [(entries[i], entries[i + 1]) for i in range(0, len(entries), 2)][::-1]
    return [(0, 0)] * (node.rank - len(pairs)) + pairs


def _pad_constant(node: Node, sides: list[tuple[int, int]], value: bool | int | float) -> Node:
    for axis, (before, after) in enumerate(sides):
        stop = node.shape[axis] + smaller(after, 0)
        start = larger(-before, 0)
        if stop < start:
            raise ShapeError(f"pad: {(before, after)} on axis {axis} of {node.shape} removes more "
                             "than there is; need something left")  # fmt: skip
        node = cut_axis(node, axis, start, stop)
    low = tuple(larger(before, 0) for before, _ in sides)
    high = tuple(larger(after, 0) for _, after in sides)
    if not any(is_unknown(n) or n for n in low + high):
        return node
    padded = ops.pad(node, attrs=(low, high))
    if value == 0:
        return padded
    # Pad fills with zeros: another filling is chosen where a padded mask of ones is zero.
    inside = ops.pad(scalar(True, bool_, node.shape), attrs=(low, high))
    return where(inside, padded, scalar(value, node.dtype, padded.shape))


def _pad_one(node: Node, axis: int, before: int, after: int, mode: str) -> Node:
    """`_pad_mirrored`, where a negative count removes elements. What wraps around is what is left;
    what is mirrored or repeated may have been removed at the other end."""
    if is_unknown(before) or is_unknown(after):
        refuse(f"pad of {(before, after)} with mode {mode!r}")
    low, high = builtins.max(before, 0), builtins.max(after, 0)
    if (low, high) == (before, after):
        return _pad_mirrored(node, axis, before, after, mode)
    start, stop = builtins.max(-before, 0), builtins.min(after, 0)
    if mode == "circular":
        extent = node.shape[axis]
        if start >= extent + stop:
            raise ShapeError(f"pad: {(before, after)} on axis {axis} of {node.shape} removes all "
                             "there is; need something left")  # fmt: skip
        return _pad_mirrored(cut_axis(node, axis, start, extent + stop), axis, low, high, mode)
    padded = _pad_mirrored(node, axis, low, high, mode)
    extent = padded.shape[axis] + stop
    if start > extent:
        raise ShapeError(f"pad: {(before, after)} on axis {axis} of {node.shape} removes more than "
                         "there is; need something left")  # fmt: skip
    return cut_axis(padded, axis, start, extent)


def _pad_mirrored(node: Node, axis: int, before: int, after: int, mode: str) -> Node:
    if not (before or after):
        return node
    extent = node.shape[axis]
    limit = {"reflect": extent - 1, "circular": extent}.get(mode, before + after)
    if builtins.max(before, after) > limit or extent == 0:
        raise ShapeError(f"pad: {(before, after)} with mode {mode!r} on axis {axis} of "
                         f"{node.shape}; need counts of at most {limit}")  # fmt: skip
    parts = [node]
    if mode == "replicate":
        edges = cut_axis(node, axis, 0, 1), cut_axis(node, axis, extent - 1, extent)
        for part, count, front in zip(edges, (before, after), (True, False), strict=True):
            if count:
                shape = (*node.shape[:axis], count, *node.shape[axis + 1 :])
                parts.insert(0 if front else len(parts), expand_to(part, shape))
    else:
        reflect = mode == "reflect"
        if before:
            start = 1 if reflect else extent - before
            parts.insert(0, _end(node, axis, start, start + before, reflect))
        if after:
            start = extent - 1 - after if reflect else 0
            parts.append(_end(node, axis, start, start + after, reflect))
    return ops.concat(*parts, attrs=(axis,)) if len(parts) > 1 else node


def _end(node: Node, axis: int, start: int, stop: int, mirrored: bool) -> Node:
    part = cut_axis(node, axis, start, stop)
    return ops.flip(part, attrs=((axis,),)) if mirrored else part


__all__ = ["constant_pad_nd", "pad"]
