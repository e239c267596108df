"""Results that are views: movement of data that exists needs no kernel, only other strides."""

from __future__ import annotations

from collections.abc import Sequence

from ambos.core.shape import Shape
from ambos.graph.node import Node
from ambos.ops.custom import custom, plain
from ambos.tensor.array import Array

OPS = (
    "reshape",
    "permute",
    "expand",
    "slice",
    "flip",
    "detach",
    "afresh",
    "real",
    "imag",
    "custom",
)


def as_view(node: Node) -> Array | None:
    """The value of `node` as a view of data below it, or None if something must be computed."""
    chain = []
    base = node
    while base.value is None and base.op.name in OPS:
        chain.append(base)
        base = plain(base) if base.op is custom else base.inputs[0]
    value: Array | None = base.value
    for step in reversed(chain):
        if value is None:
            return None
        value = _move(step, value)
    return value


def _move(node: Node, value: Array) -> Array | None:
    strides: Shape | None = value.strides
    offset, item = value.offset, value.dtype.itemsize
    match node.op.name:
        case "reshape":
            strides = reshape_strides(value.shape, value.strides, node.shape)
        case "permute":
            strides = tuple(value.strides[a] for a in node.attrs[0])
        case "expand":
            pairs = zip(value.strides, value.shape, node.shape, strict=True)
            strides = tuple(0 if a != b else s for s, a, b in pairs)
        case "slice":
            start, _, step = node.attrs
            if node.size:
                offset += sum(a * s for a, s in zip(start, value.strides, strict=True)) * item
            strides = tuple(s * k for s, k in zip(value.strides, step, strict=True))
        case "flip":
            axes = node.attrs[0]
            offset += sum((value.shape[a] - 1) * value.strides[a] for a in axes) * item
            strides = tuple(-s if a in axes else s for a, s in enumerate(value.strides))
        case "real" | "imag":
            offset += item // 2 * (node.op.name == "imag")
            strides = tuple(2 * s for s in value.strides)
    if strides is None or any(s < 0 for s in strides):
        return None  # kernels take strides of either sign, NumPy's readers like positive ones
    return Array(value.storage, offset, node.shape, strides, node.dtype)


def reshape_strides(old: Shape, strides: Shape, new: Sequence[int]) -> Shape | None:
    """Strides under which the same memory has shape `new`, or None if there are none."""
    if 0 in old:
        return tuple(1 for _ in new)
    merged: list[tuple[int, int]] = []  # (extent, stride) of runs that walk straight
    for extent, stride in zip(old, strides, strict=True):
        if extent == 1:
            continue
        if merged and merged[-1][1] == extent * stride:
            merged[-1] = (merged[-1][0] * extent, stride)
        else:
            merged.append((extent, stride))
    result: list[int] = []
    runs = merged[::-1]
    for extent in reversed(new):
        if extent == 1:
            result.append(result[-1] if result else 1)
            continue
        if not runs or runs[0][0] % extent:
            return None
        total, stride = runs[0]
        result.append(stride)
        if total == extent:
            runs = runs[1:]
        else:
            runs[0] = (total // extent, stride * extent)
    return tuple(reversed(result))
