"""Every primitive, declared once. Importing this package fills the registry."""

from ambos.ops import (
    arithmetic,
    attention,
    bessel,
    bits,
    complex,
    contraction,
    functions,
    indexing,
    movement,
    random,
    reductions,
    sampling,
    scan,
    sources,
    special,
)
from ambos.ops.kinds import Op, Pointwise, constant, constant_like, op, registry

__all__ = [
    "Op", "Pointwise", "arithmetic", "attention", "bessel", "bits", "complex", "constant",
    "constant_like", "contraction", "functions", "indexing", "movement", "op", "random",
    "reductions", "registry", "sampling", "scan", "sources", "special",
]  # fmt: skip
