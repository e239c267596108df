"""What Tensor can do: the functions of this room, attached as methods under their names.

Methods follow PyTorch where PyTorch and NumPy disagree (`x.repeat` tiles, `x.sort` pairs).
"""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable
from typing import Any

from ambos.core import dtype as dtypes
from ambos.core.dtype import as_dtype
from ambos.tensor import (
    assignment,
    backward,
    calculus,
    choosing,
    composite,
    covariance,
    creation,
    diagonals,
    floats,
    gather,
    gradient_hooks,
    histograms,
    indexing,
    inplace,
    joining,
    lent,
    linear,
    missing,
    movement,
    namespace,
    norms,
    numbers,
    padding,
    parts,
    pointwise,
    predicates,
    products,
    protocols,
    quantiles,
    random,
    reductions,
    repeating,
    running,
    scattering,
    searching,
    sets,
    soft,
    sorting,
    splitting,
    torch_methods,
    windows,
)
from ambos.tensor.handle import Tensor
from ambos.tensor.names import check_device
from ambos.tensor.random import torch_names
from ambos.tensor.special import common
from ambos.tensor.special import functions as special

SOURCES = (
    pointwise, composite, numbers, common, movement, padding, joining, reductions, running, soft,
    norms, missing, quantiles, predicates, histograms, gather, sorting, searching, sets, linear,
    parts,
    products, diagonals, splitting, scattering, choosing, calculus, covariance, floats, repeating,
)  # fmt: skip
NOT_METHODS = {
    "broadcast_arrays", "broadcast_shapes", "broadcast_tensors", "cat", "concat", "concatenate",
    "einsum", "hstack", "meshgrid", "stack", "vstack", "result_type", "Extremes", "MinMax",
    "normalize", "real", "imag", "complex", "polar", "Fraction", "block_diag", "cartesian_prod",
    "column_stack", "dstack", "row_stack", "tril_indices", "triu_indices",
}  # fmt: skip


def functions(*modules: types.ModuleType) -> dict[str, Callable[..., Any]]:
    """The public functions of `modules` by name."""
    return {
        name: getattr(module, name)
        for module in modules
        for name in module.__all__
        if callable(getattr(module, name))
    }


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor as another dtype (or like another tensor); the only device is "cpu"."""
    dtype, device = inplace.set_dtype(self, *args, **kwargs)
    check_device("to", device)
    return self if dtype is None or dtype is self.dtype else creation.astype(self, dtype)


def _cast_method(name: str, dtype: Any) -> Callable[[Tensor], Tensor]:
    def method(self: Tensor) -> Tensor:
        return creation.astype(self, dtype)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The tensor as {dtype.name}."
    return method


def cpu(self: Tensor) -> Tensor:
    """The tensor itself: everything computes on the CPU."""
    return self


def cuda(self: Tensor, device: Any = "cuda") -> Tensor:
    """DeviceError: this version computes on the CPU."""
    check_device("cuda", device)
    return self


def contiguous(self: Tensor) -> Tensor:
    """The tensor itself: layouts are the compiler's."""
    return self


def is_contiguous(self: Tensor) -> bool:
    """Always: layouts are the compiler's."""
    return True


def new_full(self: Tensor, size: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """`fill_value` in a new shape, in this tensor's dtype."""
    return creation.full(size, fill_value, dtype=dtype or self.dtype)


def new_zeros(self: Tensor, *size: Any, dtype: Any = None) -> Tensor:
    """Zeros in a new shape, in this tensor's dtype."""
    return creation.zeros(*size, dtype=dtype or self.dtype)


def new_ones(self: Tensor, *size: Any, dtype: Any = None) -> Tensor:
    """Ones in a new shape, in this tensor's dtype."""
    return creation.ones(*size, dtype=dtype or self.dtype)


def new_empty_strided(self: Tensor, size: Any, stride: Any, dtype: Any = None) -> Tensor:
    """Zeros in a new shape, in this tensor's dtype: layouts are the compiler's."""
    return creation.empty_strided(size, stride, dtype=dtype or self.dtype)


def new_tensor(self: Tensor, data: Any, dtype: Any = None) -> Tensor:
    """A tensor with a copy of `data`, in this tensor's dtype."""
    return creation.tensor(data, dtype=dtype or self.dtype)


def type_(self: Tensor, dtype: Any = None) -> Any:
    """The dtype's name, or the tensor as another dtype."""
    return self.dtype.name if dtype is None else creation.astype(self, as_dtype(dtype))


def polygamma(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of digamma."""
    return special.polygamma(n, self)


def _matmul(self: Tensor, other: Any) -> Tensor:
    return linear.matmul(self, other)


def _rmatmul(self: Tensor, other: Any) -> Tensor:
    return linear.matmul(other, self)


def _loaded_later(name: str, module: str) -> Callable[..., Any]:
    """A method whose module is loaded when it is first called."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(module), name)(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`am.{name}` of this tensor."
    return method


LATER = {
    "ambos.tensor.linalg.older": """cholesky cholesky_inverse cholesky_solve det geqrf ger inverse
        logdet lu lu_solve matrix_exp matrix_power orgqr ormqr pinverse qr slogdet svd
        triangular_solve""",
    "ambos.tensor.signal.frames": "stft istft",
}

CASTS = {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16,
    "bfloat16": dtypes.bfloat16, "long": dtypes.int64, "int": dtypes.int32,
    "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8, "bool": dtypes.bool_,
    "cfloat": dtypes.complex64, "cdouble": dtypes.complex128,
}  # fmt: skip

IN_PLACE = """add sub subtract mul multiply div divide pow power floor_divide remainder neg negative
    abs absolute sqrt rsqrt exp expm1 log log1p log2 log10 sin cos tan tanh sinh cosh asin acos
    atan erf relu sign floor ceil round trunc bitwise_and bitwise_or bitwise_xor logical_not
    logical_and logical_or logical_xor clamp clip clamp_min clamp_max sigmoid square reciprocal
    lerp masked_fill index_add index_fill scatter_add scatter tril triu nan_to_num addcmul
    addcdiv copysign nextafter frac gcd lcm digamma erfc erfinv i0 igamma igammac lgamma
    mvlgamma polygamma xlogy logit"""

OPERATORS = {
    "__iadd__": "add", "__isub__": "subtract", "__imul__": "multiply", "__itruediv__": "divide",
    "__ifloordiv__": "floor_divide", "__imod__": "remainder", "__ipow__": "power",
    "__iand__": "bitwise_and", "__ior__": "bitwise_or", "__ixor__": "bitwise_xor",
    "__ilshift__": "left_shift", "__irshift__": "right_shift",
}  # fmt: skip

OWN: dict[str, Any] = {
    "to": to, "cpu": cpu, "cuda": cuda, "contiguous": contiguous, "is_contiguous": is_contiguous,
    "new_full": new_full, "new_zeros": new_zeros, "new_ones": new_ones, "new_tensor": new_tensor,
    "new_empty": new_zeros, "new_empty_strided": new_empty_strided, "adjoint": parts.adjoint,
    "type": type_, "nelement": Tensor.numel, "view": movement.reshape,
    "view_as": movement.reshape_as,
    "repeat": movement.tile, "clone": creation.clone, "copy": creation.clone,
    "astype": creation.astype, "tril": creation.tril, "triu": creation.triu,
    "backward": backward.backward, "register_hook": gradient_hooks.register_hook,
    "register_post_accumulate_grad_hook": gradient_hooks.register_post_accumulate_grad_hook,
    "fill_": inplace.fill_, "zero_": inplace.zero_,
    "copy_": inplace.copy_, "__getitem__": indexing.getitem, "__setitem__": assignment.setitem,
    "unfold": windows.unfold, "uniform_": random.uniform_, "normal_": random.normal_,
    "bernoulli_": random.bernoulli_, "multinomial": random.multinomial,
    "bernoulli": torch_names.bernoulli, "exponential_": torch_names.exponential_,
    "cauchy_": torch_names.cauchy_, "log_normal_": torch_names.log_normal_,
    "geometric_": torch_names.geometric_, "random_": torch_names.random_, "polygamma": polygamma,
    "__array_namespace__": namespace.array_namespace, "to_device": namespace.to_device,
    "real": property(parts.real), "imag": property(parts.imag), "H": property(parts.adjoint),
    "mH": property(parts.adjoint),
    "__array_ufunc__": protocols.array_ufunc,
    "__array_function__": protocols.array_function, "__matmul__": _matmul, "__rmatmul__": _rmatmul,
    "squeeze": torch_methods.squeeze, "std": torch_methods.std, "var": torch_methods.var,
    "data": Tensor.__dict__["data"].getter(lent.lend),
    "sort": sorting.sorted_pair, "nonzero": searching.nonzero_rows,
}  # fmt: skip


def attach() -> None:
    """Give Tensor its methods."""
    table = functions(*SOURCES)
    methods = {name: f for name, f in table.items() if name not in NOT_METHODS}
    methods |= {name: _cast_method(name, dtype) for name, dtype in CASTS.items()}
    methods |= OWN
    for module, names in LATER.items():
        methods |= {name: _loaded_later(name, module) for name in names.split()}
    for name in IN_PLACE.split():
        methods[f"{name}_"] = inplace.rebinding(methods[name], f"{name}_")
    for operator, name in OPERATORS.items():
        methods[operator] = inplace.rebinding(table[name], operator)
    for name, method in methods.items():
        setattr(Tensor, name, method)
    protocols.know(table)


attach()
