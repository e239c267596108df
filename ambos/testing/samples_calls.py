"""Where the calls of linear algebra and Fourier transforms are sampled; see `samples.py`."""

from __future__ import annotations

from typing import Any

from ambos.core.shape import Shape


def calls() -> dict[str, list[tuple[Any, ...]]]:
    square: tuple[Shape, ...] = ((3, 3), (2, 4, 4), (0, 2, 2), (2, 0, 0), (1, 1))
    wide: tuple[Shape, ...] = ((3, 3), (2, 4, 2), (2, 2, 4), (2, 0, 3), (0, 3, 2))
    one, good = ("matrix",), ("positive",)
    systems = [(shape, (*shape[:-1], 2)) for shape in square]
    found: dict[str, list[tuple[Any, ...]]] = {
        "linalg.solve": [(pair, (0,), ("matrix", "values")) for pair in systems],
        "linalg.solve_triangular": [
            (pair, (0, upper), ("positive", "values"), "upper" * upper)
            for pair in systems for upper in (False, True)
        ],
        "linalg.pinv": [((shape, shape[:-2]), (0,), ("matrix", "tiny")) for shape in wide],
        "linalg.slogdet": [((s,), (part,), one, str(part)) for s in square for part in (0, 1)],
        "linalg.lu_order": [(((2, 3),), (0, 4), ("pivots",)), (((0, 2),), (0, 2), ("pivots",))],
        "linalg.eigvalsh": [((s,), (0, False), good) for s in square],
        "linalg.svdvals": [((s,), (0,), one) for s in wide],
        "linalg.lu_factor": [((s,), (p, True), one, str(p)) for s in wide for p in range(3)],
        "linalg.geqrf": [((s,), (p,), one, str(p)) for s in wide for p in range(2)],
        "linalg.ldl_factor": [
            ((s,), (p, h, False), good, str(p))
            for s in square for p in range(3) for h in (False, True)
        ],
        "linalg.ldl_solve": [
            ((s, s[:-1], (*s[:-1], 2)), (0, h), ("positive", "pivots", "values"))
            for s in square for h in (False, True)
        ],
    }  # fmt: skip
    for name in ("inv", "det", "cofactors", "matrix_exp"):
        found[f"linalg.{name}"] = [((shape,), (0,), one) for shape in square]
    facts = (((3, 3, 2), None), ((3,), None), ((3, 3, 2), None))
    on_blocks = "linalg.svd", (True,), facts, (True, False, True), False
    found["call_on_blocks"] = [(((3, 3, 2),), (part, *on_blocks)) for part in range(3)]
    found["linalg.cholesky"] = [((shape,), (0,), good) for shape in square]
    for name, fill in (("cholesky_ex", good), ("inv_ex", one)):
        found[f"linalg.{name}"] = [((s,), (part,), fill) for s in square for part in (0, 1)]
    found["linalg.solve_ex"] = [
        (pair, (part,), ("matrix", "values")) for pair in systems for part in (0, 1)
    ]
    found["linalg.eig"] = [((s,), (part,), one, str(part)) for s in square for part in (0, 1)]
    for name, parts, fill in (("eigh", 2, good), ("svd", 3, one), ("qr", 2, one)):
        shapes = square if name == "eigh" else wide
        found[f"linalg.{name}"] = [
            ((shape,), (part, False), fill, str(part)) for shape in shapes for part in range(parts)
        ]
    found["fft.rfft"] = [
        (((3, 5, 4),), (0, axes, scale))
        for axes in ((2,), (1,), (2, 0)) for scale in ("none", "root", "all")
    ]  # fmt: skip
    found["fft.rfft"] += [(((0, 4),), (0, (1,), "none")), (((1,),), (0, (0,), "all"))]
    return found
