"""Adaptive softmax: many classes, the rare ones in clusters of smaller width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError, ShapeError
from ambos.nn import functional as F
from ambos.nn.container import ModuleList, Sequential
from ambos.nn.functional.shared import as_tensor
from ambos.nn.linear import Linear
from ambos.nn.module import Module
from ambos.tensor.gather import gather
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import concat
from ambos.tensor.pointwise import where


class AdaptiveLogSoftmax(NamedTuple):
    """What the layer returns: each target's log-probability, and minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-softmax over `n_classes`, sorted from frequent to rare and cut at `cutoffs`: a shortlist,
    and clusters whose width shrinks by `div_value` each.

    Shapes: (N, in_features) or (in_features,), and targets (N,) or (); to (output, loss).
    Errors: ArgumentError for cutoffs that do not rise; ShapeError; IndexingError for a target that
        is no class.
    Source: Grave, Joulin, Cisse, Grangier, Jegou (2017), "Efficient softmax approximation for
        GPUs".

    Example:
        >>> import ambos as am
        >>> layer = AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10])
        >>> found = layer(am.ones(3, 16), am.tensor([0, 5, 19]))
        >>> found.output.shape, found.loss.shape, layer.log_prob(am.ones(3, 16)).shape
        ((3,), (), (3, 20))
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cuts = [positive("AdaptiveLogSoftmaxWithLoss: cutoffs", cut) for cut in cutoffs]
        if not cuts or cuts != sorted(set(cuts)) or cuts[-1] >= n_classes:
            raise ArgumentError(
                f"AdaptiveLogSoftmaxWithLoss: cutoffs is {cutoffs!r}; need rising integers from 1 "
                f"to {n_classes - 1}"
            )
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*cuts, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = cuts[0], len(cuts)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias, device, dtype)
        self.tail = ModuleList()
        for number in range(self.n_clusters):
            width = int(in_features // div_value ** (number + 1))
            size = self.cutoffs[number + 1] - self.cutoffs[number]
            inner = Linear(in_features, width, False, device, dtype)
            self.tail.append(Sequential(inner, Linear(width, size, False, device, dtype)))

    def reset_parameters(self) -> None:
        """PyTorch's initial values, those of its linear layers."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.reset_parameters()

    def forward(self, input_: Tensor, target_: Any) -> AdaptiveLogSoftmax:
        x, t = as_tensor(input_), as_tensor(target_)
        alone = x.ndim == 1
        x, t = (x[None], t[None]) if alone else (x, t)
        if x.ndim != 2 or t.shape != x.shape[:1]:
            raise ShapeError(
                f"AdaptiveLogSoftmaxWithLoss: got {tuple(x.shape)} and {tuple(t.shape)}; need "
                "(batch, in_features) and (batch,)"
            )
        head = F.log_softmax(self.head(x), 1)
        # Each cluster sees all rows, and those of other clusters are masked: no size depends on
        # what the targets are. A target that is no class stays, for `gather` to refuse.
        row = t
        for number, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False)):
            row = where((t >= low) & (t < high), self.shortlist_size + number, row)
        output = gather(head, 1, row[:, None]).squeeze(1)
        for number, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False)):
            inside = (t >= low) & (t < high)
            among = F.log_softmax(self.tail[number](x), 1)
            place = where(inside, t - low, 0)
            output = output + where(inside, gather(among, 1, place[:, None]).squeeze(1), 0.0)
        return AdaptiveLogSoftmax(output.squeeze(0) if alone else output, -output.mean())

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes, (N, n_classes)."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for number in range(self.n_clusters):
            cluster = head[:, self.shortlist_size + number, None]
            parts.append(F.log_softmax(self.tail[number](input), 1) + cluster)
        return concat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The likeliest class of each row."""
        return self.log_prob(input).argmax(1)
