"""QR as LAPACK keeps it: the reflections that make Q, and R."""

from __future__ import annotations

from typing import Any

from ambos.graph.node import Node
from ambos.ops.call import Call, Facts, require_matrix


class Geqrf(Call):
    """R on and above the diagonal, below it the vectors v_i of reflections I - tau_i v_i v_i^H
    (without their leading one); and tau. Q is the product of the reflections."""

    name, differentiable = "linalg.geqrf", False

    def host(np: Any, a: Any) -> tuple[Any, ...]:
        packed, factors = np.linalg.qr(a, mode="raw")
        return np.swapaxes(packed, -1, -2), factors

    def results(self, a: Node) -> tuple[Facts, ...]:
        require_matrix(self.name, a)
        *batch, m, n = a.shape
        return (a.shape, a.dtype), ((*batch, min(m, n)), a.dtype)


geqrf = Geqrf()
