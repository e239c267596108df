"""Every primitive, declared once. Importing this package fills the registry."""

from ambos.ops import (
    activations,
    arithmetic,
    attempts,
    attention,
    bessel,
    bits,
    blend,
    complex,
    contraction,
    control,
    custom,
    folding,
    fourier,
    functions,
    indefinite,
    indexing,
    movement,
    random,
    reductions,
    reflections,
    sampling,
    scan,
    solving,
    sources,
    special,
    spectral,
    triangles,
)
from ambos.ops.kinds import Op, Pointwise, constant, constant_like, op, registry

__all__ = [
    "Op", "Pointwise", "activations", "arithmetic", "attempts", "attention", "bessel", "bits",
    "blend", "complex", "constant", "constant_like", "contraction", "control", "custom", "folding",
    "fourier", "functions", "indefinite", "indexing", "movement", "op", "random", "reductions",
    "reflections", "registry", "sampling", "scan", "solving", "sources", "special", "spectral",
    "triangles",
]  # fmt: skip
