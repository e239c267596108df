"""Calls on complex numbers, behind the pass that turns these into pairs: host functions take and
give complex arrays, which lie in memory as blocks with one more axis of size 2."""

from __future__ import annotations

from typing import Any

from ambos.graph.node import Attrs, Node
from ambos.ops.call import Call, Facts
from ambos.ops.kinds import op


class CallOnBlocks(Call):
    """Another call; attrs: (number of the result, the call's name, which operands are blocks of
    complex numbers, shapes and dtypes (None: as the operands') of its results, which results are
    blocks, *its attrs)."""

    name, differentiable = "call_on_blocks", False

    def host(np: Any, *arguments: Any) -> tuple[Any, ...]:
        count = next(i for i, x in enumerate(arguments) if isinstance(x, str))
        arrays, (name, complex_, _, blocks, *attrs) = arguments[:count], arguments[count:]
        numbers = [
            x.view(np.result_type(x.dtype, np.complex64))[..., 0] if is_complex else x
            for x, is_complex in zip(arrays, complex_, strict=True)
        ]
        found = op(name).host(np, *numbers, *attrs)
        return tuple(
            np.ascontiguousarray(x).view(x.real.dtype).reshape(*x.shape, 2) if is_block else x
            for x, is_block in zip(found, blocks, strict=True)
        )

    @classmethod
    def _one_of(cls, np: Any, *arguments: Any) -> Any:
        count = next(i for i, x in enumerate(arguments) if isinstance(x, int))
        arrays, (part, *attrs) = arguments[:count], arguments[count:]
        return cls.host(np, *arrays, *attrs)[part]

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        part, name, complex_, facts, blocks, *rest = attrs
        _, *own = op(name).batch_attrs((part, *rest), size)
        given = tuple(((size, *shape), dtype) for shape, dtype in facts)
        return part, name, complex_, given, blocks, *own

    def title(self, attrs: tuple[Any, ...]) -> str:
        return str(attrs[1])

    def results(self, *arguments: Any) -> tuple[Facts, ...]:
        name = next(i for i, x in enumerate(arguments) if isinstance(x, str))
        part = arguments[0].dtype
        return tuple((shape, dtype or part) for shape, dtype in arguments[name + 2])


call_on_blocks = CallOnBlocks()


def on_blocks(node: Node, operands: tuple[Node, ...], are_blocks: tuple[bool, ...]) -> Node:
    """`node`, a call, on operands of which some are blocks; a block, if it is complex."""
    assert isinstance(node.op, Call)
    part, *attrs = node.attrs
    facts = node.op.results(*node.inputs, *attrs)
    blocks = tuple(dtype.is_complex for _, dtype in facts)
    own = operands[0].dtype
    given = tuple(
        ((*shape, 2) if block else shape, None if dtype.part is own else dtype)
        for (shape, dtype), block in zip(facts, blocks, strict=True)
    )
    return call_on_blocks(*operands, attrs=(part, node.op.name, are_blocks, given, blocks, *attrs))
