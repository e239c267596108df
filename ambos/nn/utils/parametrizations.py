"""Weights that are normalised or orthogonal, by parametrization."""

from __future__ import annotations

from functools import partial
from typing import Any

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import normalize_axis
from ambos.nn import functional as F
from ambos.nn.module import Module
from ambos.nn.transposed import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ambos.nn.utils.parametrize import is_parametrized, register_parametrization
from ambos.tensor import random
from ambos.tensor.creation import eye, zeros
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import concat
from ambos.tensor.linalg import householder_product, matrix_exp, solve
from ambos.tensor.linalg.older import geqrf
from ambos.tensor.modes import no_grad
from ambos.tensor.pointwise import where


def length_of(v: Tensor, dim: int | None) -> Tensor:
    """The length of the vectors along `dim`; without it, or by -1, that of all.

    Example:
        >>> import ambos as am
        >>> length_of(am.tensor([[3.0, 4.0], [0.0, 2.0]]), 0).tolist()
        [[5.0], [2.0]]
    """
    if dim in (None, -1):
        return (v * v).sum().sqrt()
    kept = normalize_axis("weight_norm", dim, v.ndim)
    axes = tuple(axis for axis in range(v.ndim) if axis != kept)
    return (v * v).sum(axes, keepdims=True).sqrt()


class _WeightNorm(Module):
    """Length times direction."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / length_of(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Length and direction."""
        return length_of(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Train the length and the direction of the vectors along `dim` apart (or, without `dim`, those
    of the whole tensor): `original0` and `original1`.

    Errors: UnknownNameError for a tensor that the module lacks.
    Source: Salimans and Kingma (2016), "Weight normalization".

    Example:
        >>> from ambos import nn
        >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
        >>> {name: p.shape for name, p in layer.parametrizations.named_parameters()}
        {'weight.original0': (3, 1), 'weight.original1': (3, 2)}
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)
    module.register_load_state_dict_pre_hook(partial(_renamed, name))
    return module


def _renamed(name: str, module: Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """The names that states had before there were parametrizations: weight_g and weight_v."""
    for old, new in ((f"{name}_g", "original0"), (f"{name}_v", "original1")):
        if f"{prefix}{old}" in state and is_parametrized(module, name):
            state[f"{prefix}parametrizations.{name}.{new}"] = state.pop(f"{prefix}{old}")


class _SpectralNorm(Module):
    """Divided by its largest singular value, which power iteration follows."""

    def __init__(self, weight: Tensor, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        self.dim = normalize_axis("spectral_norm", dim, weight.ndim)
        self.eps = eps
        self.n_power_iterations = positive("spectral_norm: n_power_iterations", n_power_iterations)
        if weight.ndim > 1:
            with no_grad():
                matrix = self._matrix(weight.detach())
                for name, size in zip(("_u", "_v"), matrix.shape, strict=True):
                    drawn = random.normal(None, (size,), dtype=weight.dtype)
                    self.register_buffer(name, F.normalize(drawn, dim=0, eps=eps))
                self._iterate(matrix, 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).flatten(1)

    def _iterate(self, matrix: Tensor, count: int) -> None:
        with no_grad():
            u, v = self._u, self._v
            for _ in range(count):
                u = F.normalize(matrix @ v, dim=0, eps=self.eps)
                v = F.normalize(matrix.T @ u, dim=0, eps=self.eps)
            self._u.data, self._v.data = u, v

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        u, v = self._u.detach(), self._v.detach()
        return weight / (u * (matrix @ v)).sum()

    def right_inverse(self, value: Tensor) -> Tensor:
        """Itself."""
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value, as a matrix whose rows are along `dim` (0; 1
    for transposed convolutions).

    Errors: UnknownNameError for a tensor that the module lacks; ArgumentError.
    Source: Miyato, Kataoka, Koyama, Yoshida (2018), "Spectral normalization".

    Example:
        >>> from ambos import nn
        >>> layer = nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3))
        >>> [*layer.state_dict()][1:]
        ['parametrizations.weight.original', 'parametrizations.weight.0._u', \
'parametrizations.weight.0._v']
    """
    weight = getattr(module, name)
    if dim is None:
        turned = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
        dim = 1 if isinstance(module, turned) else 0
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return register_parametrization(module, name, made)


class _Orthogonal(Module):
    """Rows or columns that are orthonormal, from a matrix without constraints."""

    base: Tensor | None

    def __init__(self, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.orthogonal_map, self.use_trivialization = orthogonal_map, use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        turned = x.shape[-2] < x.shape[-1]
        x = x.mT if turned else x
        q = self._reflected(x) if self.orthogonal_map == "householder" else self._rotated(x)
        if self.use_trivialization and self.base is not None:
            q = self.base @ q
        return q.mT if turned else q

    def _rotated(self, x: Tensor) -> Tensor:
        """From the skew-symmetric matrix of what lies below the diagonal."""
        n, k = x.shape[-2:]
        x = x.tril()
        if n != k:
            x = concat([x, zeros((*x.shape[:-1], n - k), dtype=x.dtype)], -1)
        skew = x - x.mT
        if self.orthogonal_map == "matrix_exp":
            q = matrix_exp(skew)
        else:
            one = eye(n, dtype=x.dtype)
            q = solve(one - skew * 0.5, one + skew * 0.5)
        return q[..., :k] if n != k else q

    def _reflected(self, x: Tensor) -> Tensor:
        below = x.tril(-1)
        q = householder_product(below, 2.0 / (1.0 + (below * below).sum(-2)))
        return q * x.diagonal(0, -2, -1).detach().trunc()[..., None, :]

    def right_inverse(self, q: Tensor) -> Tensor:
        """Where training starts, for the orthogonal matrix nearest to `q`."""
        shape = q.shape
        turned = shape[-2] < shape[-1]
        q = q.mT if turned else q
        n, k = q.shape[-2:]
        if not self.use_trivialization:
            if self.orthogonal_map != "householder":
                raise ArgumentError(
                    "orthogonal: a matrix cannot be set by matrix_exp or cayley without "
                    "use_trivialization=True"
                )
            found = _start(q)
            return found.mT if turned else found
        if n != k:
            q = concat([q, random.normal(None, (*q.shape[:-1], n - k), dtype=q.dtype)], -1)
        self.base = _orthonormal(q)
        return -eye(shape[-2], shape[-1], dtype=q.dtype).expand(shape)


def _orthonormal(a: Tensor) -> Tensor:
    x, tau = geqrf(a)
    return householder_product(x, tau) * x.diagonal(0, -2, -1).sign()[..., None, :]


def _start(q: Tensor) -> Tensor:
    """Reflections below the diagonal, on it the signs of the columns."""
    a, tau = geqrf(q)
    signs = where(tau == 0, -1.0, 1.0) * a.diagonal(0, -2, -1).sign()
    k = a.shape[-1]
    on = eye(a.shape[-2], k, dtype=a.dtype)
    return a * (1 - on) + on * signs[..., None, :]


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep a weight orthogonal: its rows or columns, whichever are fewer, orthonormal.
    `orthogonal_map` is "matrix_exp", "cayley" or "householder"; without one it is the first for
    square matrices and the last for others.

    Errors: ShapeError for fewer than two dimensions; ArgumentError for another map.
    Source: Lezcano-Casado (2019), "Trivializations for gradient-based optimization on manifolds".

    Example:
        >>> from ambos import nn
        >>> layer = nn.utils.parametrizations.orthogonal(nn.Linear(3, 3))
        >>> [*layer.state_dict()]
        ['bias', 'parametrizations.weight.original', 'parametrizations.weight.0.base']
    """
    weight: Any = getattr(module, name)
    if weight.ndim < 2:
        raise ShapeError(f"orthogonal: {name} is {tuple(weight.shape)}; need at least two axes")
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ArgumentError(
            f"orthogonal: orthogonal_map is {orthogonal_map!r}; need 'matrix_exp', 'cayley' or "
            "'householder'"
        )
    made = _Orthogonal(orthogonal_map, use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)


__all__ = ["orthogonal", "spectral_norm", "weight_norm"]
