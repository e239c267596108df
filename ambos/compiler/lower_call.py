"""A call group (results of one host function) as one launch that Python computes."""

from __future__ import annotations

from ambos.compiler.finish import Words
from ambos.compiler.group import Group
from ambos.compiler.launches import Context, Step
from ambos.compiler.layout import Memory
from ambos.compiler.symbolic import NeedsBuffer
from ambos.core.open import listed
from ambos.core.program import Block, Host
from ambos.core.shape import row_major
from ambos.ops.call import Call


def lower_call(group: Group, context: Context) -> list[Step]:
    """Whole arrays go in and come out, row-major."""
    first, words = group.members[0], Words()
    for source in first.inputs:
        if not context.memories[source].is_row_major:
            raise NeedsBuffer(source)
    operands = tuple([_block(words, context.memories[source]) for source in first.inputs])
    results = tuple(
        (node.attrs[0], _block(words, context.allocate(node, row_major(node.shape))))
        for node in group.members
    )
    host = Host(first.op.name, first.attrs[1:], operands, results)
    shapes = ", ".join(listed(source.shape) for source in first.inputs)
    assert isinstance(first.op, Call)
    title = first.op.title(first.attrs)
    return [Step(host, words.values, 1, 0, True, f"{title} {shapes}")]


def _block(words: Words, memory: Memory) -> Block:
    word = words.pointer(memory)
    if word == len(words.values) - 1:  # an operand that comes twice is described once
        for extent in memory.shape:
            words.add(extent)
    return Block(word, len(memory.shape), memory.dtype)
