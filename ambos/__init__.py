"""ambos: one deep-learning framework for your own loop, for fit, and for function transforms."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ambos.core.arrivals import also_at, on_import
from ambos.core.dtype import (
    bfloat16,
    bool_,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from ambos.core.version import __version__

if TYPE_CHECKING:  # the function, which hides the room of the same name
    from ambos.tensor.creation import tensor as tensor

# Rooms and names that are imported when they are first used.
ROOMS = ("autograd", "nn", "optim", "data", "distributed", "export", "serve", "hub", "viz",
         "testing", "train", "metrics", "callbacks", "models", "random", "special", "tree",
         "errors", "masked", "linalg", "fft", "signal", "func", "amp", "cuda")  # fmt: skip
PLACES = {
    "autograd": "ambos.tensor.autograd", "random": "ambos.tensor.random",
    "special": "ambos.tensor.special", "fft": "ambos.tensor.fft", "linalg": "ambos.tensor.linalg",
    "tree": "ambos.core.tree", "errors": "ambos.core.errors", "masked": "ambos.tensor.masked",
    "amp": "ambos.optim.amp", "cuda": "ambos.tensor.cuda",
    "signal": "ambos.tensor.signal", "metrics": "ambos.train.metrics", "func": "ambos.nn.func",
    "optim.swa_utils": "ambos.train.swa_utils", "callbacks": "ambos.viz.callbacks",
}  # fmt: skip
LINEAR_ALGEBRA = (
    "chain_matmul", "cholesky", "cholesky_inverse", "cholesky_solve", "det", "geqrf", "ger",
    "inverse", "logdet", "lu", "lu_solve", "lu_unpack", "matrix_exp", "matrix_power", "orgqr",
    "ormqr", "pinverse", "qr", "slogdet", "svd", "triangular_solve",
)  # fmt: skip
WINDOWS = ("bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window")
NAMES = {
    "Model": "ambos.train", "Sequential": "ambos.train", "DataLoader": "ambos.data",
    "Callback": "ambos.train", "EarlyStopping": "ambos.train", "ModelCheckpoint": "ambos.train",
    "History": "ambos.train", "loop": "ambos.train", "Input": "ambos.nn.symbolic",
    "autocast": "ambos.tensor.autocast", "GradScaler": "ambos.optim.grad_scaler",
    "profile": "ambos.tensor.profile", "device": "ambos.tensor.devices",
    "explain": "ambos.tensor.explain", "forecast": "ambos.tensor.forecast",
    "debug": "ambos.tensor.debugging", "compilations": "ambos.tensor.ledger",
    "ShapeDtype": "ambos.tensor.dry", "ShapeDtypeStruct": "ambos.tensor.dry",
    "save": "ambos.tensor.files", "load": "ambos.tensor.files", "load_torch": "ambos.hub",
    "load_keras": "ambos.hub", "plot_model": "ambos.viz",
    "eval_shape": "ambos.tensor.dry", "make_graph": "ambos.tensor.dry",
    "functional_call": "ambos.nn.calls", "capture": "ambos.nn.capture",
    "stack_modules": "ambos.nn.calls",
    **dict.fromkeys(LINEAR_ALGEBRA, "ambos.tensor.linalg.older"),
    "pca_lowrank": "ambos.tensor.linalg.lowrank", "svd_lowrank": "ambos.tensor.linalg.lowrank",
    **dict.fromkeys(WINDOWS, "ambos.tensor.signal.older"),
    "stft": "ambos.tensor.signal.frames", "istft": "ambos.tensor.signal.frames",
}  # fmt: skip
DTYPES = {
    "half": float16, "double": float64, "long": int64, "short": int16, "int": int32,
    "float": float32, "bool": bool_, "byte": uint8, "cfloat": complex64, "cdouble": complex128,
}  # fmt: skip

__all__ = [
    "__version__", "bfloat16", "bool_", "complex64", "complex128", "float16", "float32", "float64",
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
]  # fmt: skip


def _load() -> dict[str, Any]:
    """The tensor room's names; its import is the one that costs."""
    from ambos.tensor.public import names

    return names()


globals().update(_load())
globals().update(DTYPES)
_PUBLIC = sorted({*__all__, *_load(), *DTYPES, *ROOMS, *NAMES})


def _meet_einops() -> None:
    from ambos.tensor.einops import register

    register(layers="ambos.nn.einops")


on_import("einops._backends", _meet_einops)
also_at({f"ambos.{name}": place for name, place in PLACES.items()})


def __getattr__(name: str) -> Any:
    if name in ROOMS:
        found: Any = importlib.import_module(PLACES.get(name, f"ambos.{name}"))
    elif name in NAMES:
        found = getattr(importlib.import_module(NAMES[name]), name)
    elif name.startswith("__"):
        raise AttributeError(name)
    else:
        from ambos.tensor.public import unknown

        raise unknown(name, _PUBLIC)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return _PUBLIC
