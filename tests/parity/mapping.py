"""Which function of ours an entry of PyTorch's operator database is.

Most entries need no line here: `linalg.norm` is `am.linalg.norm`, `nn.functional.relu` is found in
`ambos.nn.functional`, `bool` is a method. Tables are sorted, one line an entry.
"""

import re
from collections.abc import Callable
from typing import Any

import ambos as am
import ambos.nn.functional as F
from ambos.core.dtype import DType
from ambos.nn.functional.sampling import BORDERS, MODES
from tests.parity.database import ENTRIES

# Entries that are no function of ours, and why.
CUDA_CODE = "compiles CUDA source that the caller writes"
INTERNAL = "internal to torch: a step of another entry that is mapped"
SPARSE = "sparse layouts are not part of this stage"
STRIDES = "reads memory by strides; layouts are the compiler's here, and tensors do not alias"
UNDEFINED = "changes the memory behind a tensor and leaves new elements undefined"

HALF_PARTS = "complex numbers of two halves (complex32) are no dtype here"

OUT: dict[str, str] = {
    "_batch_norm_with_update": INTERNAL,
    "_chunk_cat": INTERNAL,
    "_native_batch_norm_legit": INTERNAL,
    "_segment_reduce.lengths": INTERNAL,
    "_segment_reduce.offsets": INTERNAL,
    "_softmax_backward_data": INTERNAL,
    "_unsafe_masked_index": INTERNAL,
    "_unsafe_masked_index_put_accumulate": INTERNAL,
    "_upsample_bilinear2d_aa": INTERNAL,
    "as_strided": STRIDES,
    "as_strided.partial_views": STRIDES,
    "as_strided_copy": STRIDES,
    "as_strided_scatter": STRIDES,
    "bmm.triton_optimized": "a Triton kernel of torch, for GPUs",
    "chalf": HALF_PARTS,
    "hash_tensor": "torch's own hash of the bytes of a tensor",
    "jiterator_2inputs_2outputs": CUDA_CODE,
    "jiterator_4inputs_with_extra_args": CUDA_CODE,
    "jiterator_binary": CUDA_CODE,
    "jiterator_binary_return_by_ref": CUDA_CODE,
    "jiterator_unary": CUDA_CODE,
    "max_pool2d_with_indices_backward": INTERNAL,
    "native_batch_norm": INTERNAL,
    "native_dropout_backward": INTERNAL,
    "native_group_norm": INTERNAL,
    "native_layer_norm": INTERNAL,
    "resize_": UNDEFINED,
    "resize_as_": UNDEFINED,
    "sparse.mm.reduce": SPARSE,
    "sparse.sampled_addmm": SPARSE,
    "to_sparse": SPARSE,
    "torch._scaled_mm": INTERNAL,
    "torch._scaled_mm_v2": INTERNAL,
    "torch.ops.aten._efficient_attention_forward": INTERNAL,
    "torch.ops.aten._flash_attention_forward": INTERNAL,
    "torch.ops.aten._safe_softmax.default": INTERNAL,
}


def _slice(x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return x[(slice(None),) * (dim % x.ndim) + (slice(start, end, step),)]


def _solution(function: Callable[..., Any]) -> Callable[..., Any]:
    """The Array API, which `am.linalg` follows, takes a right side of one axis less than `x` for a
    matrix where it can; torch takes it for a batch of vectors."""

    def call(x: Any, y: Any, **options: Any) -> Any:
        if y.ndim != x.ndim - 1 or y.shape != x.shape[:-1]:
            return function(x, y, **options)
        found = function(x, y[..., None], **options)
        if isinstance(found, am.Tensor):
            return found[..., 0]
        return (found[0][..., 0], *found[1:])

    return call


def _in_own_dtype(function: Callable[..., Any]) -> Callable[..., Any]:
    """Positions are integers here, and logarithms floats; torch.masked casts both to the dtype of
    the input unless told."""

    def call(x: Any, *args: Any, dtype: Any = None, **options: Any) -> Any:
        return function(x, *args, dtype=dtype or x.dtype, **options)

    return call


def _polygamma(x: Any, n: int) -> Any:
    return am.polygamma(n, x)


def _as_shape(value: Any) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


def _grid_sampler(x: Any, grid: Any, mode: int, border: int, align_corners: bool) -> Any:
    """`grid_sample`, whose modes have numbers in torch's inner function."""
    return F.grid_sample(x, grid, MODES[mode], BORDERS[border], align_corners)


def _cut_ends(function: Callable[..., Any]) -> Callable[..., Any]:
    """torch cuts off the fractions of both ends where the dtype is an integer's; here, as in NumPy,
    what is cut is the result."""

    def called(start: Any, end: Any, *args: Any, dtype: Any = None, **kwargs: Any) -> Any:
        if dtype is not None and dtype.is_integer:
            start, end = (int(v) for v in (start, end))
        return function(start, end, *args, dtype=dtype, **kwargs)

    return called


# Entries whose arguments come in another order, or whose name is another one here. Where torch and
# the Array API disagree (sort, nonzero, squeeze, var), the function is the Array API's, the method
# torch's.
ADAPTERS: dict[str, Callable[..., Any]] = {
    "__rdiv__": lambda x, y: y / x,
    "alias_copy": am.clone,
    "broadcast_shapes": lambda *shapes: am.broadcast_shapes(*map(_as_shape, shapes)),
    "cauchy": am.Tensor.cauchy_,
    "einsum": lambda operands, equation: am.einsum(equation, operands),
    "equal": am.array_equal,
    "exponential": am.Tensor.exponential_,
    "fill": lambda x, value: am.full_like(x, value),
    "geometric": am.Tensor.geometric_,
    "grid_sampler_2d": _grid_sampler,
    "grid_sampler_3d": _grid_sampler,
    "linalg.lstsq.grad_oriented": lambda a, b, driver: am.linalg.lstsq(a, b, driver=driver)[:2],
    "linalg.pinv.singular": lambda a, b: am.linalg.pinv(a @ b.mT),
    "linalg.solve": _solution(am.linalg.solve),
    "linalg.solve_ex": _solution(am.linalg.solve_ex),
    "linspace": _cut_ends(am.linspace),
    "linspace.tensor_overload": _cut_ends(am.linspace),
    "log_normal": am.Tensor.log_normal_,
    "logspace": _cut_ends(am.logspace),
    "logspace.tensor_overload": _cut_ends(am.logspace),
    "masked.argmax": _in_own_dtype(am.masked.argmax),
    "masked.argmin": _in_own_dtype(am.masked.argmin),
    "masked.logsumexp": _in_own_dtype(am.masked.logsumexp),
    "meshgrid.list_of_tensors": lambda x, indexing="ij": am.meshgrid(*x, indexing=indexing),
    "meshgrid.variadic_tensors": lambda *x, indexing="ij": am.meshgrid(*x, indexing=indexing),
    "nn.functional.embedding": lambda weight, index, **named: F.embedding(index, weight, **named),
    "nn.functional.embedding_bag": lambda weight, index, **named: F.embedding_bag(
        index, weight, **named
    ),
    "nonzero": am.Tensor.nonzero,
    "normal.in_place": am.Tensor.normal_,
    "pca_lowrank": lambda a, b, **options: am.pca_lowrank(a @ b.mT, **options),
    "polygamma.polygamma_n_0": _polygamma,
    "polygamma.polygamma_n_1": _polygamma,
    "polygamma.polygamma_n_2": _polygamma,
    "polygamma.polygamma_n_3": _polygamma,
    "polygamma.polygamma_n_4": _polygamma,
    "repeat": lambda x, *repeats: x.repeat(*repeats),
    "slice": _slice,
    "sort": am.Tensor.sort,
    "special.polygamma.special_polygamma_n_0": _polygamma,
    "squeeze": am.Tensor.squeeze,
    "squeeze.multiple": am.Tensor.squeeze,
    "squeeze_copy": am.Tensor.squeeze,
    "std": am.Tensor.std,
    "std.unbiased": am.Tensor.std,
    "svd_lowrank": lambda a, b, **options: am.svd_lowrank(a @ b.mT, **options),
    "uniform": am.Tensor.uniform_,
    "var": am.Tensor.var,
    "var.unbiased": am.Tensor.var,
    "where": lambda x, condition, y: am.where(condition, x, y),
    "zero_": lambda x: am.zeros_like(x),
}

# Entries whose values nobody promises: random numbers, memory that nobody has written.
WITHOUT_VALUES = (
    "bernoulli", "cauchy", "empty", "empty_like", "empty_permuted", "empty_strided", "exponential",
    "geometric", "log_normal", "multinomial", "new_empty", "new_empty_strided",
    "nn.functional.alpha_dropout", "nn.functional.dropout", "nn.functional.dropout2d",
    "nn.functional.dropout3d", "nn.functional.feature_alpha_dropout.with_train",
    "nn.functional.fractional_max_pool2d", "nn.functional.fractional_max_pool3d",
    "nn.functional.multi_head_attention_forward", "nn.functional.rrelu", "normal",
    "normal.in_place", "normal.number_mean", "rand_like", "randint", "randint_like", "randn",
    "randn_like", "uniform",
)  # fmt: skip


def is_random(name: str, sample: Any) -> bool:
    """Are the values of a sample random numbers, or what nobody has written?"""
    return name in WITHOUT_VALUES or bool(sample.kwargs.get("dropout_p"))


# What both results are seen through, where several results are right (signs of vectors).
def _lengths(found: Any) -> Any:
    """Eigenvalues, and their vectors without phases."""
    return found[0], abs(found[1])


def _eigh(found: Any) -> Any:
    values, vectors = found
    return values, abs(vectors), (vectors * values[..., None, :]) @ vectors.mH


def _svd(found: Any) -> Any:
    u, s, vh = found
    k = s.shape[-1]
    left, right = u[..., :k], vh[..., :k, :]
    return tuple(u.shape), s, tuple(vh.shape), left @ right, (left * s[..., None, :]) @ right


def _svd_turned(found: Any) -> Any:
    u, s, v = found
    return _svd((u, s, v.mH))


BOTH: dict[str, Callable[[Any], Any]] = {
    "linalg.eig": _lengths,
    "linalg.eigh": _eigh,
    "linalg.svd": _svd,
    "pca_lowrank": _svd_turned,
    "svd": _svd_turned,
    "svd_lowrank": _svd_turned,
}


# What both sides get in the place of a sample's arguments, as torch's own tests of gradients make
# them: its gradients are those of matrices that stay Hermitian or triangular.
def _hermitian(x: Any, **options: Any) -> Any:
    return (x + x.mH,), options


def _factor_last(*args: Any, upper: bool = False) -> Any:
    *others, factor = args
    return (*others, factor.triu() if upper else factor.tril()), {"upper": upper}


GIVEN: dict[str, Callable[..., Any]] = {
    "cholesky_inverse": _factor_last,
    "cholesky_solve": _factor_last,
    "linalg.pinv.hermitian": _hermitian,
}

# Entries that say where something is. Of equal elements torch names any; seen is what lies there.
# (Both sides have these methods. The zeros keep dtype and shape of the positions.)


def _in_order(found: Any, x: Any, dim: int = -1, *_: Any, **__: Any) -> Any:
    return x.gather(dim, found), found * 0


def _one_of(number: int) -> Callable[..., Any]:
    """Of (values, positions), where the axis is the argument of that number."""

    def seen(found: Any, x: Any, *args: Any, **named: Any) -> Any:
        if named.get("stable"):  # the first of equal ones is meant
            return found
        dim = named.get("dim", args[number] if len(args) > number else -1)
        places = found.indices
        where = places if places.ndim == x.ndim else places.unsqueeze(dim)
        return found.values, x.gather(dim, where), places * 0

    return seen


PLACES: dict[str, Callable[..., Any]] = {
    "argsort": _in_order,
    "kthvalue": _one_of(1),
    "mode": _one_of(0),
    "sort": _one_of(0),
    "topk": _one_of(1),
}

# Entries whose results are less exact in float32 than most, and by which factor.
TOLERANCE: dict[str, float] = {
    "cdist": 10,  # torch takes the root of a difference of products of matrices
    "cov": 50,  # gradients by weights are differences of large sums
    "nn.functional.layer_norm": 5,  # one element less itself is not 0 in torch, times 1/sqrt(eps)
    "nn.functional.normalize": 5,  # gradients across one number are what rounding left of 0
    "nn.functional.scaled_dot_product_attention": 10,  # nearly one-hot: scores in the hundreds
}

# Differences that are meant: entry -> aspect (a dtype, "gradient" or "errors") -> the reason.
CUT = "torch cuts the factor 0.2 to 0 for integers; here a factor that does not fit is an error"

BROADCASTS = "torch broadcasts prediction and target; losses never do so here"
BEHIND_SOFTMAX = (
    "torch's gradient adds what log_softmax, which it takes to come before, would have added; ours "
    "is the derivative, and behind log_softmax both are the same"
)
DOUBLED = "of doubled indices the last wins, and it alone has a gradient; torch gives one to each"
EMPTY = "torch returns integers as they are where there are none; a dtype depends on no size here"
NO_CHANNELS = "torch takes an empty vector, which has no channels, for images of none"
SKETCH = "of matrices of a higher rank than q, as with M, the sketch decides, which is random"
BROADCAST = "summed axes of different sizes are an error, as in NumPy; torch repeats an axis of 1"

KNOWN: dict[str, dict[str, str]] = {
    "addbmm": {"int64": CUT},
    "addmv": {"int64": CUT},
    "baddbmm": {"int64": CUT},
    "logcumsumexp": {
        "gradient": "torch subtracts sums that cancel: at 1e4 it is off by 7e-3, ours "
        "by 5e-7 (tests/tensor/test_running.py)"
    },
    "nn.functional.batch_norm": {"float32": NO_CHANNELS},
    "nn.functional.ctc_loss": {"gradient": BEHIND_SOFTMAX},
    "nn.functional.gaussian_nll_loss": {"float32": BROADCASTS},
    "nn.functional.local_response_norm": {"int64": EMPTY},
    "nn.functional.max_unpool1d": {"gradient": DOUBLED},
    "nn.functional.max_unpool2d": {"gradient": DOUBLED},
    "nn.functional.max_unpool3d": {"gradient": DOUBLED},
    "svd_lowrank": {"float32": SKETCH, "gradient": SKETCH},
    "tensordot": {"float32": BROADCAST, "int64": BROADCAST},
}

# What a difference must say for the reason given for it; others are seen by all of an aspect.
SAID = {BROADCASTS: "losses never broadcast", EMPTY: "dtype float32, torch has int64",
        NO_CHANNELS: "need (batch, channels"}  # fmt: skip


# The same of modules (`tests/parity/modules.py`).
KNOWN_OF_MODULES = {"nn.CTCLoss": {"gradients": BEHIND_SOFTMAX}}


def known(name: str) -> dict[str, str]:
    """Why an entry differs, by aspect."""
    return KNOWN.get(name) or KNOWN_OF_MODULES.get(name, {})


def reason(name: str, aspect: str, difference: str) -> str | None:
    """Why a difference is meant; None where it is not."""
    found = known(name).get(aspect)
    return found if found is None or SAID.get(found, "") in difference else None


# What torch refuses for reasons that do not exist here: aliasing, devices, buffers for results.
ALIASING = re.compile(
    r"memory location|overlap|out tensor|Expected out|out=|requires grad|device|deprecated"
    r"|strided tensors only"
)
REFUSED_BY_TORCH_ONLY: dict[str, str] = {
    "arange": "inconsistent with step sign",  # nothing lies between: empty, as the Array API has it
    "complex": "Expected",  # two dtypes promote, as everywhere else
    "linalg.cross": "same number of dimensions",  # the Array API broadcasts
    # Rows of weights may have any number of axes before them, and any length.
    "multinomial": "must be 1 or 2 dim|number of categories",
}


def is_error_here(name: str, regex: str) -> bool:
    """Is an error input of torch one that we have to refuse as well?"""
    if not regex:  # torch's functions need a tensor; ours take numbers as well
        return False
    own = REFUSED_BY_TORCH_ONLY.get(name)
    return not (ALIASING.search(regex) or (own is not None and re.search(own, regex)))


def function(name: str) -> Callable[..., Any] | None:
    """Our function for an entry; None if there is none."""
    if name in OUT:
        return None
    if name in ADAPTERS:
        return ADAPTERS[name]
    path = ENTRIES[name].name.removeprefix("torch.").split(".")
    return _found(path) or _found([*path[:-1], _aliasing_spelling(path[-1])])


def _aliasing_spelling(name: str) -> str:
    """Nothing aliases here, so `squeeze_copy` is `squeeze`, and `unsafe_split` is `split`."""
    return name.removesuffix("_copy").removeprefix("unsafe_")


# Names that mean something else outside their room.
OTHERS = {("nn", "functional", "unfold"), ("linalg", "vander"), ("linalg", "norm")}


def _found(path: list[str]) -> Callable[..., Any] | None:
    room, last = ".".join(path[:-1]), path[-1]
    places = {"nn.functional": [F, am], "": [am], "masked": [_room("masked")]}.get(room) or [
        _room(room),
        am,
    ]
    if tuple(path) in OTHERS:
        places = places[:1] if room == "nn.functional" else [_room(room)]
    for place in places:
        found = getattr(place, last, None)
        if callable(found) and not isinstance(found, DType):
            return found  # type: ignore[no-any-return]
    if tuple(path) in OTHERS or room == "masked":
        return None
    method = am.Tensor.__dict__.get(last) or getattr(am.Tensor, last, None)
    if isinstance(method, property):
        return lambda x: getattr(x, last)
    return method if callable(method) else None


def _room(path: str) -> Any:
    found: Any = am
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


def mapped() -> list[str]:
    """The entries that have a function of ours."""
    return sorted(name for name in ENTRIES if function(name) is not None)
