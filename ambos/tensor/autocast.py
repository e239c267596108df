"""`am.autocast`: products in a narrow dtype, what loses too much by it in float32.

Functions are sorted by name, as PyTorch sorts its own. Those of NARROW take their floating operands
in the narrow dtype, those of WIDE in float32, those of WIDEST in the widest that they are given;
all others compute in what they get. Parameters stay float32: they are cast where they are used, and
their gradients come back in float32.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

from ambos.core.dtype import DType, as_dtype, bfloat16, float16, float32, float64
from ambos.core.errors import ArgumentError
from ambos.tensor.checks import require_range

F = TypeVar("F", bound=Callable[..., Any])


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NARROW = _words("""
    linear bilinear matmul mm bmm mv addmm addmv addbmm baddbmm einsum tensordot chain_matmul
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    scaled_dot_product_attention multi_head_attention_forward linear_cross_entropy
""")
WIDE = _words("""
    exp exp2 expm1 log log2 log10 log1p logaddexp logsumexp pow rsqrt reciprocal acos asin
    cosh sinh tan erfinv sum prod mean var std var_mean std_mean nansum nanmean cumsum cumprod
    logcumsumexp norm vector_norm matrix_norm dist cdist pdist renorm softmax softmin
    log_softmax softplus logsigmoid layer_norm rms_norm group_norm batch_norm instance_norm
    local_response_norm normalize cosine_similarity pairwise_distance interpolate grid_sample
    cross_entropy nll_loss mse_loss l1_loss smooth_l1_loss huber_loss kl_div poisson_nll_loss
    gaussian_nll_loss binary_cross_entropy binary_cross_entropy_with_logits
    hinge_embedding_loss margin_ranking_loss multi_margin_loss multilabel_margin_loss
    multilabel_soft_margin_loss soft_margin_loss triplet_margin_loss
    triplet_margin_with_distance_loss cosine_embedding_loss ctc_loss gumbel_softmax
    absolute_percentage_loss squared_logarithmic_loss log_cosh_loss hinge_loss squared_hinge_loss
""")
WIDEST = _words("""
    concatenate concat cat stack hstack vstack where addcmul addcdiv cross dot inner outer
    vdot prelu embedding embedding_bag lerp scatter index_copy index_add index_put
""")
# Those with floating weights, which know what integers beside them mean, and averages.
WITHOUT_WEIGHTS = dict.fromkeys(_words("""
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
"""), float32)  # fmt: skip
LAYERS = WITHOUT_WEIGHTS.keys() | _words("""
    linear bilinear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    batch_norm layer_norm group_norm instance_norm rms_norm prelu
""")
FLOATS = (bfloat16, float16, float32)
DIGITS = {bfloat16: 8, float16: 11, float32: 24, float64: 53}  # in bits


class Casting(threading.local):
    """The narrow dtype of this thread; None outside of `autocast`. Whether layers take integers for
    floating numbers, and whether one has."""

    dtype: DType | None = None
    integers = has_cast = False


casting = Casting()


class autocast:
    """Within `with`, products of matrices, convolutions and attention compute in `dtype` (sums of
    products in float32), while sums, norms, exponentials, softmax and losses compute in float32. A
    decorator as well.

    A first argument that names a device is taken as in PyTorch, where it has to be given.

    Dtypes: bfloat16 (which needs no loss scaling) or float16 (see `am.GradScaler`); operands that
        are float64, integers or complex stay what they are.
    Errors: ArgumentError for another dtype.
    Source: Micikevicius et al. (2018), "Mixed precision training".

    Example:
        >>> import ambos as am
        >>> x, w = am.ones(2, 3), am.ones(3, 4)
        >>> with am.autocast(am.bfloat16):
        ...     (x @ w).dtype, (x @ w).sum().dtype
        (ambos.bfloat16, ambos.float32)
    """

    def __init__(
        self, dtype: Any = None, /, *more: Any, enabled: bool = True, cache_enabled: bool = True,
        device_type: str | None = None, **named: Any,
    ) -> None:  # fmt: skip
        given = [value for value in (dtype, *more) if value not in ("cpu", "cuda", "mps")]
        wanted = named.pop("dtype", given[0] if given else None)
        if named:
            raise ArgumentError(
                f"autocast: unknown argument {next(iter(named))!r}; need dtype or enabled"
            )
        found = bfloat16 if wanted is None else as_dtype(wanted)
        if found not in FLOATS:
            raise ArgumentError(f"autocast: dtype is {found.name}; need bfloat16 or float16")
        self.dtype = found if enabled and found is not float32 else None
        self.before: list[DType | None] = []

    def __enter__(self) -> None:
        self.before.append(casting.dtype)
        casting.dtype = self.dtype

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        casting.dtype = self.before.pop()

    def __call__(self, function: F) -> F:
        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]


@contextmanager
def integers_as_floats() -> Iterator[None]:
    """Within `with`, layers with floating weights take integers and bools in the dtype of these, as
    Keras's do; `casting.has_cast` says afterwards whether one did.

    Errors: ArgumentError for integers that the dtype does not have, where they are known.
    """
    before = casting.integers
    casting.integers, casting.has_cast = True, False
    try:
        yield
    finally:
        casting.integers = before


def castable(function: F) -> F:
    """`function`, whose operands `autocast` casts by the function's name."""
    name = function.__name__
    if name not in NARROW | WIDE | WIDEST | LAYERS:
        return function

    @functools.wraps(function)
    def cast(*args: Any, **kwargs: Any) -> Any:
        narrow = casting.dtype
        if casting.integers and args and name in LAYERS:
            args = _floating(name, args, kwargs.values())
        if narrow is None or name in WITHOUT_WEIGHTS:
            return function(*args, **kwargs)
        wanted = narrow if name in NARROW else float32
        if name in WIDEST:
            found = {_dtype(v) for v in _values((args, kwargs))} - {None}
            if len(found) < 2:
                return function(*args, **kwargs)
        return function(*_cast(args, wanted), **_cast(kwargs, wanted))

    return cast  # type: ignore[return-value]


def floating_input(name: str, x: Any, dtype: DType) -> Any:
    """`x` in the `dtype` of a layer's weights, where it has integers and layers take them so."""
    given = getattr(x, "dtype", None) if hasattr(x, "_grad") else None
    if not casting.integers or given is None or given.is_inexact:
        return x
    exact = 1 << DIGITS[dtype]
    if given.is_integer and int(given.max) > exact:
        require_range(
            x._node, -exact, exact + 1, ArgumentError,
            lambda found: f"{name}: an input is {found}, and {dtype.name} has all integers up to "
            f"{exact} only; need smaller ones, or, to round them, x.astype({dtype.name!r})",
        )  # fmt: skip
    casting.has_cast = True
    return x.to(dtype)


def _floating(name: str, args: tuple[Any, ...], more: Iterable[Any]) -> tuple[Any, ...]:
    """The same arguments, an input of integers in the dtype of what is beside it."""
    beside = (each.dtype for each in (*args[1:], *more) if hasattr(each, "_grad"))
    dtype = next((each for each in beside if each.is_floating), WITHOUT_WEIGHTS.get(name))
    return args if dtype is None else (floating_input(name, args[0], dtype), *args[1:])


def _dtype(value: Any) -> DType | None:
    dtype = getattr(value, "dtype", None) if hasattr(value, "_grad") else None
    return dtype if dtype in FLOATS else None


def _values(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [leaf for part in value for leaf in _values(part)]
    return [value]


def _cast(value: Any, dtype: DType) -> Any:
    """Floating tensors as `dtype`, in tuples, lists and dicts too."""
    if isinstance(value, dict):
        return {key: _cast(part, dtype) for key, part in value.items()}
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return type(value)(_cast(part, dtype) for part in value)
    found = _dtype(value)
    return value if found is None or found is dtype else value.to(dtype)
