"""Every primitive, declared once. Importing this package fills the registry."""

from ambos.ops import (
    arithmetic,
    attention,
    complex,
    contraction,
    functions,
    indexing,
    movement,
    random,
    reductions,
    scan,
    sources,
)
from ambos.ops.kinds import Op, Pointwise, constant, constant_like, op, registry

__all__ = [
    "Op", "Pointwise", "arithmetic", "attention", "complex", "constant", "constant_like",
    "contraction", "functions", "indexing", "movement", "op", "random", "reductions", "registry",
    "scan", "sources",
]  # fmt: skip
