"""PyTorch's operator database for `nn.functional`: samples of its own, put to our functions.

`compare(entry, sample)` calls both on equal numbers and compares results and gradients. What is not
comparable, and why, is in `SKIPPED` (entries) and `deviates` (samples).
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import ambos as am
import ambos.nn.functional as F

PREFIX = "nn.functional."
# Entries that are not ours yet, or that no test compares, and why.
SKIPPED = {
    "multi_head_attention_forward": "comes with the layer",
    "silu.complex": "complex numbers are a matter of their own",
    "ctc_loss": "not there yet",
}
RANDOM = ("dropout", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "rrelu",
          "fractional_max_pool2d", "fractional_max_pool3d")  # fmt: skip
# Where indices are equal PyTorch counts a gradient twice; it has samples without under ".grad".
FORWARD_ONLY = ("max_unpool1d", "max_unpool2d", "max_unpool3d")
FIRST_IS_WEIGHT = ("embedding", "embedding_bag")  # the database has the weight first


def entries() -> list[Any]:
    """The database's entries for functions of nn.functional that we have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    found = [op for op in op_db if op.name.startswith(PREFIX)]
    return [op for op in found if name_of(op) not in SKIPPED and short(op) not in SKIPPED]


def short(op: Any) -> str:
    return str(op.name).removeprefix(PREFIX)


def name_of(op: Any) -> str:
    """The entry's name with its variant."""
    variant = op.variant_test_name
    return f"{short(op)}.{variant}" if variant else short(op)


def seeded(op: Any) -> Iterator[Any]:
    """The entry's samples in float32 (or int64, if that is what it takes), always the same."""
    dtype = torch.float32 if torch.float32 in op.supported_dtypes("cpu") else torch.int64
    gradients = op.supports_autograd and dtype.is_floating_point
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from op.sample_inputs("cpu", dtype, requires_grad=gradients)


def deviates(op: Any, sample: Any) -> str:
    """Why a sample has another answer here on purpose, or ""."""
    name, given = short(op), (sample.input, *sample.args)
    losses = [a for a in given if isinstance(a, torch.Tensor)]
    if name == "gaussian_nll_loss" and losses[0].shape != losses[1].shape:
        return "losses never broadcast"
    if name == "batch_norm" and sample.input.ndim < 2:
        return "a vector has no channels"
    if name.startswith("fractional"):
        return "random"
    by_default = name in ("dropout", "dropout2d", "dropout3d")
    if name in RANDOM and sample.kwargs.get("training", by_default):
        return "" if sample.kwargs.get("p") in (0.0, 1.0) else "random"
    if name == "scaled_dot_product_attention" and sample.kwargs.get("dropout_p"):
        return "random"
    return ""


def ours(value: Any, known: dict[int, am.Tensor]) -> Any:
    """Tensors as ours, each once; sizes and dtypes as Python has them."""
    if isinstance(value, torch.Tensor):
        if id(value) not in known:
            array = value.detach().numpy().copy()
            known[id(value)] = am.tensor(array, requires_grad=value.requires_grad)
        return known[id(value)]
    if isinstance(value, torch.dtype):
        return getattr(am, str(value).removeprefix("torch.").replace("bool", "bool_"))
    if isinstance(value, torch.nn.Module) or type(value).__name__.endswith("Options"):
        return None
    if isinstance(value, (list, tuple)):
        return tuple(ours(v, known) for v in value)
    return value


def leaves(value: Any) -> list[Any]:
    """The tensors of a result."""
    if isinstance(value, (torch.Tensor, am.Tensor)):
        return [value]
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, tuple) else []


def call_ours(op: Any, sample: Any) -> tuple[Any, list[Any]]:
    """Our result, and our tensors in the order of the sample's."""
    known: dict[int, am.Tensor] = {}
    args = [ours(a, known) for a in (sample.input, *sample.args)]
    kwargs = {k: ours(v, known) for k, v in sample.kwargs.items()}
    tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, am.Tensor)]
    if short(op) in FIRST_IS_WEIGHT:
        args[0], args[1] = args[1], args[0]
    return getattr(F, short(op))(*args, **kwargs), tensors


def call_theirs(op: Any, sample: Any) -> tuple[Any, list[Any]]:
    given = (sample.input, *sample.args, *sample.kwargs.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = op(sample.input, *sample.args, **sample.kwargs)
    return result, [a for a in given if isinstance(a, torch.Tensor)]


def compare(op: Any, sample: Any, rtol: float = 2e-4, atol: float = 2e-5) -> None:
    """Results and gradients, or an AssertionError."""
    theirs, sources = call_theirs(op, sample)
    mine, tensors = call_ours(op, sample)
    for a, b in zip(leaves(mine), leaves(theirs), strict=True):
        assert a.shape == tuple(b.shape), (a.shape, b.shape)
        assert a.dtype.name == str(b.dtype).removeprefix("torch."), (a.dtype, b.dtype)
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=rtol, atol=atol)
    mine, theirs = leaves(mine)[0], leaves(theirs)[0]
    if not theirs.requires_grad or name_of(op) in FORWARD_ONLY:
        return
    seed = np.random.default_rng(0).normal(size=mine.shape).astype(mine.numpy().dtype)
    if mine.requires_grad:  # else it is constant here, and its gradient zero there
        mine.backward(am.tensor(seed))
    for source in sources:  # samples share tensors
        source.grad = None
    theirs.backward(torch.tensor(seed))
    for number, (a, b) in enumerate(zip(tensors, sources, strict=True)):
        if not b.requires_grad:
            continue
        wanted = torch.zeros_like(b) if b.grad is None else b.grad
        found = np.zeros(a.shape) if a.grad is None else a.grad.numpy()
        np.testing.assert_allclose(
            found, wanted.numpy(), rtol=5 * rtol, atol=5 * atol, err_msg=f"gradient {number}"
        )
