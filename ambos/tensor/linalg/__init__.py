"""`am.linalg`: linear algebra with the names of the Array API, and PyTorch's beyond them.

Norms, products and sums are kernels of our own. Factorisations are LAPACK's through NumPy, as
calls inside the same Programs, with gradients as graphs of our ops.
"""

from ambos.core.arguments import answering
from ambos.core.errors import LinAlgError
from ambos.tensor.linalg.attempts import cholesky_ex, inv_ex, lu_factor_ex, solve_ex
from ambos.tensor.linalg.factors import (
    cholesky,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    lu,
    lu_factor,
    qr,
    svd,
    svdvals,
)
from ambos.tensor.linalg.functions import (
    cond,
    det,
    matrix_exp,
    matrix_norm,
    matrix_power,
    matrix_rank,
    norm,
    slogdet,
    vander,
    vector_norm,
)
from ambos.tensor.linalg.indefinite import ldl_factor, ldl_factor_ex, ldl_solve
from ambos.tensor.linalg.products import (
    cross,
    diagonal,
    matmul,
    matrix_transpose,
    multi_dot,
    outer,
    tensordot,
    trace,
    vecdot,
)
from ambos.tensor.linalg.reflections import householder_product
from ambos.tensor.linalg.systems import (
    cholesky_solve,
    inv,
    lstsq,
    lu_solve,
    pinv,
    solve,
    solve_triangular,
    tensorinv,
    tensorsolve,
)

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cholesky_solve", "cond", "cross", "det", "diagonal",
    "eig", "eigh", "eigvals", "eigvalsh", "householder_product", "inv", "inv_ex",
    "ldl_factor", "ldl_factor_ex", "ldl_solve", "lstsq", "lu",
    "lu_factor", "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power",
    "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer", "pinv", "qr", "slogdet",
    "solve", "solve_ex", "solve_triangular", "svd", "svdvals", "tensordot", "tensorinv",
    "tensorsolve", "trace", "vander", "vecdot", "vector_norm",
]  # fmt: skip

__getattr__ = answering("ambos.linalg", __all__)
