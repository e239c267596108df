"""Every primitive, declared once. Importing this package fills the registry."""

from ambos.ops import (
    arithmetic,
    attention,
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
    "Op", "Pointwise", "arithmetic", "attention", "constant", "constant_like", "contraction",
    "functions", "indexing", "movement", "op", "random", "reductions", "registry", "scan",
    "sources",
]  # fmt: skip
