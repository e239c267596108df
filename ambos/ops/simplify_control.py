"""Loops and branches that change no bit by being simpler; see `simplify`."""

from __future__ import annotations

from ambos.graph.node import Node
from ambos.graph.rewrite import Rule
from ambos.ops.control import BranchSpec, LoopSpec, ScanSpec


def no_steps(node: Node) -> Node | None:
    """A scan of length 0 gives what it began with."""
    part, spec = node.attrs
    assert isinstance(spec, ScanSpec)
    if spec.length or part >= spec.num_carry:
        return None
    return node.inputs[spec.num_constants + part]


def handed_on(node: Node) -> Node | None:
    """What every step hands on as it is, or every branch, comes out as it went in."""
    part, spec = node.attrs
    if isinstance(spec, ScanSpec):
        first, is_carry = spec.num_constants, part < spec.num_carry
        where = first + part if is_carry and _hands_on(spec, part, first) else None
    elif isinstance(spec, LoopSpec):
        where = spec.num_body + part if _hands_on(spec, part, spec.num_body) else None
        if where is not None:
            where += spec.num_condition
    else:
        assert isinstance(spec, BranchSpec)
        places = {_argument(body.arguments, body.results[part]) for body in spec.branches}
        (where,) = places if len(places) == 1 else (None,)
        where = None if where is None else where + 1
    return None if where is None else node.inputs[where]


def _hands_on(spec: ScanSpec | LoopSpec, part: int, first: int) -> bool:
    return spec.body.results[part] is spec.body.arguments[first + part]


def _argument(arguments: tuple[Node, ...], result: Node) -> int | None:
    return arguments.index(result) if result in arguments else None


RULES: dict[str, tuple[Rule, ...]] = {
    "scan": (no_steps, handed_on),
    "while_loop": (handed_on,),
    "branch": (handed_on,),
}
