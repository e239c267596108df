"""Complex numbers: the ops between them and their parts, and what becomes of them in the compiler,
which computes real numbers only."""

from ambos.ops.complex.bridge import complex_, conj, imag, real
from ambos.ops.complex.pairs import in_pairs

__all__ = ["complex_", "conj", "imag", "in_pairs", "real"]
