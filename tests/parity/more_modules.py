"""Modules of PyTorch that its own database has no samples of, in the database's form."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.testing._internal.common_modules import FunctionInput, ModuleInput

Call = tuple[FunctionInput, Callable[[], FunctionInput]]


def call(*args: Any, **kwargs: Any) -> FunctionInput:
    return FunctionInput(*args, **kwargs)


def reals(*shape: int) -> torch.Tensor:
    return torch.randn(shape).requires_grad_()


def images(*shape: int) -> Callable[[], FunctionInput]:
    return lambda: call(reals(*(shape or (2, 4, 6, 6))))


def two(*shape: int) -> Callable[[], FunctionInput]:
    return lambda: call(reals(*shape), reals(*shape))


def three(*shape: int) -> Callable[[], FunctionInput]:
    return lambda: call(reals(*shape), reals(*shape), reals(*shape))


def pooled(rank: int) -> Callable[[], FunctionInput]:
    """What max pooling makes, and where it was."""

    def make() -> FunctionInput:
        pool = getattr(torch.nn, f"MaxPool{rank}d")(2, return_indices=True)
        values, indices = pool(torch.randn(2, 3, *(4,) * rank))
        return call(values.detach().requires_grad_(), indices)

    return make


def bags(*offsets: int) -> Callable[[], FunctionInput]:
    return lambda: call(torch.tensor([1, 2, 4, 0, 3, 1]), torch.tensor(offsets))


@dataclass(frozen=True)
class Extra:
    """An entry, as the database would have it."""

    module_cls: Any
    calls: tuple[Call, ...]
    is_lazy: bool = False
    module_error_inputs_func: None = None

    def module_inputs_func(self, info: Any, **_: Any) -> list[ModuleInput]:
        """The samples."""
        return [ModuleInput(made, given()) for made, given in self.calls]


def _entries() -> dict[str, Extra]:
    nn = torch.nn
    decoder = {"d_model": 4, "nhead": 2, "dim_feedforward": 8, "dropout": 0.0}
    sequences = images(2, 3, 5)
    dropouts = {
        name: ((call(0.0), given), (call(0.5, True), given))
        for name, given in {
            "AlphaDropout": sequences, "Dropout": sequences, "Dropout1d": sequences,
            "Dropout2d": images(), "Dropout3d": images(2, 3, 2, 2, 2),
            "FeatureAlphaDropout": images(),
        }.items()
    }  # fmt: skip
    found: dict[str, tuple[Call, ...]] = {
        "AdaptiveLogSoftmaxWithLoss": (
            (call(16, 20, [4, 10], div_value=2.0),
             lambda: call(reals(6, 16), torch.tensor([0, 5, 19, 3, 12, 4]))),
            (call(16, 20, [4], head_bias=True), lambda: call(reals(16), torch.tensor(7))),
        ),
        "ChannelShuffle": ((call(2), images()),),
        "CosineSimilarity": ((call(), two(3, 4)), (call(dim=0, eps=1e-3), two(3, 4))),
        "EmbeddingBag": (
            (call(5, 3, mode="sum"), bags(0, 2, 3)),
            (call(5, 3, padding_idx=1), bags(0, 2, 3)),
            (call(5, 3, mode="max", include_last_offset=True), bags(0, 2, 6)),
        ),
        "Flatten": ((call(), images()), (call(0, 2), images())),
        "Fold": ((call((4, 5), (2, 2)), images(1, 12, 12)),),
        "Hardsigmoid": ((call(), images()),),
        "Identity": ((call(3, unused=True), images()),),
        "LazyLinear": ((call(3), images()),),
        "PairwiseDistance": ((call(), two(3, 4)), (call(1.0, keepdim=True), two(3, 4))),
        "PixelShuffle": ((call(2), images()),),
        "PixelUnshuffle": ((call(3), images()),),
        "RReLU": ((call(0.2, 0.2), images()),),
        "TransformerDecoder": (
            (call(nn.TransformerDecoderLayer(**decoder), 2, nn.LayerNorm(4)), two(3, 2, 4)),
        ),
        "TripletMarginLoss": (
            (call(), three(3, 4)),
            (call(0.5, p=1.0, swap=True, reduction="none"), three(3, 4)),
        ),
        "TripletMarginWithDistanceLoss": (
            (call(), three(3, 4)), (call(margin=2.0, swap=True, reduction="sum"), three(3, 4)),
        ),
        "Unflatten": ((call(1, (2, 2)), images()),),
        "Unfold": ((call(3, padding=1, stride=2), images()), (call((2, 3), dilation=2), images())),
        "Upsample": (
            (call(scale_factor=2), images()),
            (call((5, 7), mode="bilinear", align_corners=True), images()),
            (call(scale_factor=1.5, mode="linear"), sequences),
        ),
        "UpsamplingBilinear2d": ((call(scale_factor=2), images()), (call(5), images())),
        "UpsamplingNearest2d": ((call(scale_factor=2), images()),),
        **{f"MaxUnpool{rank}d": ((call(2), pooled(rank)),) for rank in (1, 2, 3)},
        **{f"Lazy{kind}Norm{rank}d": ((call(), images(2, 3, *(4,) * rank)),)
           for kind in ("Batch", "Instance") for rank in (1, 2, 3)},
        **dropouts,
    }  # fmt: skip
    return {
        f"nn.{name}": Extra(getattr(nn, name), found[name], name.startswith("Lazy"))
        for name in sorted(found)
    }


ENTRIES = _entries()
# With these settings they draw, and only shapes and dtypes can be compared.
DRAWN = ("nn.AlphaDropout", "nn.Dropout", "nn.Dropout1d", "nn.Dropout2d", "nn.Dropout3d",
         "nn.FeatureAlphaDropout")  # fmt: skip
