"""A sort group (positions, values, or both, of the same rows in the same order) as one kernel."""

from __future__ import annotations

from ambos.compiler import loops
from ambos.compiler.emit_sort import sort_scratch
from ambos.compiler.finish import Words
from ambos.compiler.group import Group
from ambos.compiler.launches import ITEM, Context, Step
from ambos.compiler.layout import strides_in_order
from ambos.compiler.symbolic import NeedsBuffer
from ambos.core.open import is_below, listed
from ambos.core.shape import size_of


def lower_sort(group: Group, context: Context) -> list[Step]:
    """Sorting along the last axis, one row a work item."""
    first = group.members[0]
    source = first.inputs[0]
    count, descending = first.attrs
    keys = context.memories[source]
    if not keys.is_row_major:
        raise NeedsBuffer(source)
    words = Words()
    buffers: dict[str, loops.Buffer] = {}
    keys_word = words.pointer(keys)
    for node in group.members:
        memory = context.allocate(node, strides_in_order(node.shape, list(range(node.rank))))
        buffers[node.op.name] = loops.Buffer(words.pointer(memory), memory.dtype)
    extent = source.shape[-1]
    kernel = loops.SortKernel(
        loops.Buffer(keys_word, keys.dtype), buffers.get("argsort"), buffers.get("sort"),
        words.add(extent), words.add(count), descending, len(words.values) + 2,
    )  # fmt: skip
    rows = size_of(source.shape[:-1])
    label = f"{'+'.join(sorted(buffers))} {listed(source.shape)}"
    scratch = sort_scratch(keys.dtype, extent)
    return [Step(kernel, words.values, rows, scratch, is_below(rows * extent, ITEM), label)]
