"""A graph of complex numbers as one of real numbers: each complex node becomes two real ones.

This runs before everything else that the compiler does, so nothing behind it knows complex
numbers. In memory they are interleaved, real part first (as in NumPy, PyTorch and DLPack): a
complex input is a real input with one more axis of size 2, a complex result such a block. Nothing
is copied at either border.

`PAIRS` says what an op makes of parts. Where it has no line the kind's law holds: moves, indexing
and sums do the same with each part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from ambos.core.dtype import bool_
from ambos.core.errors import CompilerError
from ambos.graph.body import Body
from ambos.graph.node import Node, make, toposort
from ambos.graph.rewrite import Trail, rebuild
from ambos.ops.arithmetic import bitwise_and, bitwise_or, cast, negative
from ambos.ops.complex.calls import on_blocks
from ambos.ops.complex.functions import HALVES, of_parts
from ambos.ops.complex.pair import Pair, product
from ambos.ops.complex.products import cumprod, prod
from ambos.ops.contraction import contract
from ambos.ops.functions import hypot
from ambos.ops.kinds import constant
from ambos.ops.movement import interleave, reshape, slice_
from ambos.ops.sources import argument, input_

Operand = Node | Pair
Rule = Callable[..., Operand]
NOTHING: Mapping[Node, Operand] = MappingProxyType({})


def part_by_part(node: Node, *operands: Operand) -> Pair:
    """The same op on the real parts and on the imaginary parts; real operands serve both."""
    return Pair(*(
        make(node.op, tuple(x[side] if isinstance(x, Pair) else x for x in operands), node.attrs)
        for side in (0, 1)
    ))  # fmt: skip


def _cast(node: Node, x: Operand) -> Operand:
    if isinstance(x, Pair):
        if node.dtype is bool_:
            return bitwise_or(*(cast(part, attrs=(bool_,)) for part in x))
        return Pair(*(cast(part, attrs=(node.dtype.part,)) for part in x))
    return Pair(cast(x, attrs=(node.dtype.part,)), constant(0.0, node.dtype.part, x.shape))


def _constant(node: Node) -> Pair:
    value, part = complex(node.attrs[0]), node.dtype.part
    return Pair(constant(value.real, part), constant(value.imag, part))


def _input(node: Node) -> Pair:
    return halves(block_input(node))


def _function(name: str) -> Rule:
    return lambda node, *operands: of_parts(name, *operands)


def _either(node: Node, *operands: Pair) -> Node:
    """True where it is true of one part."""
    return bitwise_or(*part_by_part(node, *operands))


def _both(node: Node, *operands: Pair) -> Node:
    return bitwise_and(*part_by_part(node, *operands))


PAIRS: dict[str, Rule] = {
    "constant": _constant,
    "input": _input,
    "real": lambda node, z: z.real,
    "imag": lambda node, z: z.imag,
    "conj": lambda node, z: Pair(z.real, negative(z.imag)),
    "complex": lambda node, x, y: Pair(x, y),
    "cast": _cast,
    "custom": lambda node, *operands: operands[node.attrs[0]],
    **dict.fromkeys(("add", "subtract", "negative", "where"), part_by_part),
    "multiply": lambda node, z, w: product(z, w),
    "contract": lambda node, z, w: product(z, w, lambda a, b: contract(a, b, attrs=node.attrs)),
    **{name: _function(name) for name in HALVES},
    "absolute": lambda node, z: hypot(*z),
    "equal": _both, "isfinite": _both,
    "not_equal": _either, "isnan": _either, "isinf": _either,
    "prod": lambda node, z: prod(z, *node.attrs),
    "cumprod": lambda node, z: cumprod(z, *node.attrs),
    **dict.fromkeys(("sum", "cumsum"), part_by_part),
}  # fmt: skip
LINEAR_KINDS = ("move", "index")


def rule_of(node: Node) -> Rule:
    """What `node` makes of parts."""
    name = node.op.name
    rule = PAIRS.get(name)
    if rule is None and getattr(node.op, "kind", "") == "call":
        return _call
    if rule is None and getattr(node.op, "kind", "") == "control":
        return _control
    if rule is None and getattr(node.op, "kind", "") in LINEAR_KINDS:
        return part_by_part
    if rule is None:
        raise CompilerError(f"complex: {name} has no rule for parts")
    return rule


def _call(node: Node, *operands: Operand) -> Operand:
    blocks = tuple(interleaved(x) if isinstance(x, Pair) else x for x in operands)
    found = on_blocks(node, blocks, tuple(isinstance(x, Pair) for x in operands))
    return halves(found) if node.dtype.is_complex else found


def _control(node: Node, *operands: Operand) -> Operand:
    """A loop or branch over blocks."""
    blocks = tuple(interleaved(x) if isinstance(x, Pair) else x for x in operands)
    part, spec = node.attrs
    found = make(node.op, blocks, (part, spec.with_bodies(body_in_pairs)))
    return halves(found) if node.dtype.is_complex else found


def holds_complex(node: Node) -> bool:
    """Are there complex numbers inside of a loop or branch?"""
    if getattr(node.op, "kind", "") != "control":
        return False
    return any(map(_is_complex_inside, node.attrs[1].bodies))


@lru_cache(maxsize=256)  # asked for each result of a loop, on every level around
def _is_complex_inside(body: Body) -> bool:
    nodes = (*body.arguments, *toposort(body.results))
    return any(node.dtype.is_complex or holds_complex(node) for node in nodes)


@lru_cache(maxsize=256)
def body_in_pairs(body: Body) -> Body:
    """The same on blocks: complex arguments and results have one more axis."""
    arguments, given = [], {}
    for node in body.arguments:
        if node.dtype.is_complex:
            block = argument.leaf((*node.shape, 2), node.dtype.part, node.tracked)
            arguments.append(block)
            given[node] = halves(block)
        else:
            arguments.append(node)
    return Body(arguments, in_pairs(body.results, given=given))


# --- the pass ------------------------------------------------------------------------------------


def in_pairs(
    roots: Sequence[Node], trail: Trail | None = None, given: Mapping[Node, Operand] = NOTHING
) -> list[Node]:
    """`roots` by a graph without complex nodes. A complex root becomes a block with one more axis,
    the last, that holds both parts. `given` says what takes the place of some nodes."""
    order = toposort(roots)
    if not any(node.dtype.is_complex or holds_complex(node) for node in order):
        return list(roots)
    new: dict[Node, Operand] = dict(given)
    for node in order:
        if node in new:
            continue
        operands = tuple(new[source] for source in node.inputs)
        if (
            node.dtype.is_complex
            or any(isinstance(x, Pair) for x in operands)
            or holds_complex(node)
        ):
            new[node] = rule_of(node)(node, *operands)
        else:
            new[node] = rebuild(node, tuple(x for x in operands if isinstance(x, Node)))
        if trail is not None and node in trail:
            result = new[node]
            for part in result if isinstance(result, Pair) else (result,):
                trail.setdefault(part, trail[node])
    found = []
    for root in roots:
        result = new[root]
        block = interleaved(result) if isinstance(result, Pair) else result
        if trail is not None and root in trail:
            trail.setdefault(block, trail[root])
        found.append(block)
    return found


def block_input(node: Node) -> Node:
    """A complex input as the real input that lies in the same memory."""
    number, strides = node.attrs
    doubled = (*(2 * step for step in strides), 1)
    return input_.leaf(number, doubled, (*node.shape, 2), node.dtype.part)


def halves(block: Node) -> Pair:
    """The parts of what lies interleaved."""
    shape = block.shape[:-1]
    first, step = (0,) * block.rank, (1,) * block.rank
    return Pair(*(
        reshape(slice_(block, attrs=((*first[1:], side), (*shape, side + 1), step)), attrs=(shape,))
        for side in (0, 1)
    ))  # fmt: skip


def interleaved(pair: Pair) -> Node:
    """The block of both parts."""
    block = _common_block(pair)
    if block is not None:
        return block
    shape = pair.real.shape
    longer = pair.each(lambda part: reshape(part, attrs=((*shape, 1),)))
    return interleave(*longer, attrs=((*(1 for _ in shape), 2),))


def _common_block(pair: Pair) -> Node | None:
    """What both parts are halves of, if they are."""
    if pair.real.op is not reshape or pair.real.inputs[0].op is not slice_:
        return None
    (block,) = pair.real.inputs[0].inputs
    fits = block.shape == (*pair.real.shape, 2) and pair == halves(block)
    if fits and block.op is input_:
        *outer, inner = block.attrs[1]
        fits = inner == 1 and not any(step % 2 for step in outer)
    return block if fits else None


def interleaved_strides(strides: Sequence[int]) -> tuple[int, ...]:
    """Strides of complex numbers that lie in a block with these."""
    *outer, inner = strides
    if inner != 1 or any(step % 2 for step in outer):
        raise CompilerError(f"complex: a result has strides {tuple(strides)}; need parts that are "
                            "neighbours")  # fmt: skip
    return tuple(step // 2 for step in outer)
