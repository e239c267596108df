"""Which facts an op still owes its kind."""

from __future__ import annotations

from ambos.ops.complex.functions import Half
from ambos.ops.indexing import Index
from ambos.ops.kinds import Move, Op, Pointwise, Source
from ambos.ops.reductions import Reduce
from ambos.testing.samples import accepted, samples, sources

NEEDED: dict[str, tuple[str, ...]] = {
    "pointwise": ("lower", "ref", "domain", "accepts", "arity", "cost"),
    "random": ("lower", "ref", "accepts", "arity", "cost"),
    "reduce": ("fold", "ref", "accepts"),
    "move": ("infer", "access", "ref"),
    "index": ("infer", "ref", "bounds"),
    "blend": ("infer", "ref", "accepts"),
    "contract": ("infer", "ref"),
    "attention": ("shape", "ref", "accepts", "operands"),
    "sort": ("infer", "ref"),
    "scan": ("infer", "ref", "combine"),
    "source": ("ref",),
    "complex": ("infer", "ref"),
    "call": ("results", "host", "ref", "accepts", "arity"),
    "control": ("results",),
}
BASES: tuple[type, ...] = (Op, Pointwise, Move, Source, Reduce, Index)
FOLDS = {"add", "mul", "max", "min", "argmax", "argmin"}


def missing_facts(op: Op) -> list[str]:
    """Empty for a complete op."""
    if op.kind not in NEEDED:
        return [f"a known kind (it has {op.kind!r})"]
    missing = [fact for fact in NEEDED[op.kind] if not _declared(op, fact)]
    if not (type(op).__doc__ or "").strip():
        missing.append("docstring")
    if op.kind == "control":  # rules for all results at once; tests/compiler/test_control.py
        return missing
    if op.differentiable and not _has_gradient(op):
        missing.append("vjp, partials or differentiable=False")
    if op.differentiable and not _has_tangent(op):
        missing.append("jvp or linear")
    if op.kind == "complex" or isinstance(op, Half) or getattr(op, "accepts", "") == "c":
        return missing  # sampled in test_complex.py and test_call.py
    given = sources(op) if op.kind == "source" else samples(op)
    if not given and op.name not in ("input", "argument"):
        missing.append("samples")
    if not accepted(op):
        missing.append("a dtype that it accepts")
    if op.kind == "reduce" and getattr(op, "fold", "") not in FOLDS:
        missing.append("a fold of loop IR")
    if op.kind == "pointwise":
        low, high = getattr(op, "domain", (0, 0))
        if not low < high:
            missing.append("a domain with low < high")
    return missing


def _declared(op: Op, fact: str) -> bool:
    """Is there a value, other than the placeholder of `Op` itself or of a kind?"""
    value = getattr(type(op), fact, None)
    if value is None:
        return False
    if not callable(value):
        return value != ""
    bare = [vars(base).get(fact) for base in (Op, Move, Source, Reduce)]
    return all(value is not other for other in bare)


def _has_tangent(op: Op) -> bool:
    return type(op).jvp is not Op.jvp or bool(op.linear)


def _has_gradient(op: Op) -> bool:
    own = [base for base in BASES if "vjp" in vars(base)]
    overridden = all(type(op).vjp is not base.vjp for base in own)
    return overridden or getattr(op, "partials", None) is not None
