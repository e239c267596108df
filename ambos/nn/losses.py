"""Losses of classes: cross entropies, and their relatives."""

from __future__ import annotations

from typing import Any

from ambos.core.arguments import share
from ambos.core.errors import ShapeError
from ambos.core.shape import size_of
from ambos.nn import functional as F
from ambos.nn.layer import layer
from ambos.nn.linear import Linear
from ambos.nn.loss import Loss
from ambos.tensor.handle import Tensor


@layer
class CrossEntropyLoss(Loss):
    """Cross entropy of logits against class indices or probabilities.

    Shapes: (N, C, ...) and (N, ...) or (N, C, ...).
    Errors: ShapeError, DTypeError, IndexingError for a target that is no class.

    Example:
        >>> import ambos as am
        >>> CrossEntropyLoss()(am.tensor([[0.0, 0.0]]), am.tensor([1]))
        tensor(0.6931)
    """

    weight: Any = None
    ignore_index: int = -100
    reduction: str = "mean"
    label_smoothing: float = 0.0

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )


@layer
class NLLLoss(Loss):
    """Minus the log-probability of the target's classes.

    Shapes: (N, C, ...) and (N, ...).
    Errors: ShapeError, DTypeError, IndexingError for a target that is no class.

    Example:
        >>> import ambos as am
        >>> NLLLoss()(am.tensor([[-1.0, -2.0]]), am.tensor([1]))
        tensor(2.)
    """

    weight: Any = None
    ignore_index: int = -100
    reduction: str = "mean"

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class NLLLoss2d(NLLLoss):
    """`NLLLoss`, as it was called once for images.

    Example:
        >>> import ambos as am
        >>> NLLLoss2d()(am.full((1, 2, 3, 3), -1.0), am.zeros((1, 3, 3), dtype="int64"))
        tensor(1.)
    """


@layer
class BCELoss(Loss):
    """Cross entropy of yes-or-no probabilities.

    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> BCELoss(reduction="none")(am.ones(2, 3), am.ones(2, 3)).shape
        (2, 3)
    """

    weight: Any = None
    reduction: str = "mean"

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.binary_cross_entropy(input, target, self.weight, self.reduction)


@layer
class BCEWithLogitsLoss(Loss):
    """Cross entropy of yes-or-no logits.

    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> BCEWithLogitsLoss()(am.tensor([0.0]), am.tensor([1.0]))
        tensor(0.6931)
    """

    weight: Any = None
    reduction: str = "mean"
    pos_weight: Any = None

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, self.reduction, self.pos_weight
        )


@layer
class KLDivLoss(Loss):
    """Kullback-Leibler divergence of probabilities `target` from log-probabilities `input`.

    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> KLDivLoss("batchmean")(am.ones(2, 3), am.ones(2, 3)).shape
        ()
    """

    reduction: str = "mean"
    log_target: bool = False

    more = ("batchmean",)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.kl_div(input, target, self.reduction, self.log_target)


@layer
class CTCLoss(Loss):
    """Connectionist temporal classification: labels against frames that are longer.

    Shapes: (T, N, C), (N, S) or the sum of all lengths, (N,), (N,).
    Errors: ShapeError, ArgumentError; IndexingError for a label that is no class.
    Source: Graves, Fernandez, Gomez, Schmidhuber (2006), "Connectionist temporal classification".

    Example:
        >>> import ambos as am
        >>> CTCLoss(reduction="none")(am.ones(5, 2, 4), am.ones(2, 3).long(), [5, 5], [3, 3]).shape
        (2,)
    """

    blank: int = 0
    reduction: str = "mean"
    zero_infinity: bool = False

    def forward(
        self, log_probs: Tensor, targets: Any, input_lengths: Any, target_lengths: Any
    ) -> Tensor:
        return F.ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction,
            self.zero_infinity,
        )  # fmt: skip


class LinearCrossEntropyLoss(Loss):
    """The cross entropy of a linear layer's results, `out_features` of them for each class.

    `options`, which say how PyTorch cuts the work into pieces, change nothing.

    Shapes: (N, in_features), and (N, *out_features) or (N, num_classes, *out_features); or both
        without N.
    Errors: ShapeError, DTypeError, IndexingError for a target that is no class.

    Example:
        >>> import ambos as am
        >>> LinearCrossEntropyLoss(8, 3, reduction="none")(am.ones(2, 8), am.tensor([0, 2])).shape
        (2,)
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: str = "mean",
        weight: Any = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: Any = None,
    ) -> None:
        super().__init__()
        self.num_classes, self.out_features = num_classes, tuple(out_features)
        self.reduction, self.ignore_index = reduction, ignore_index
        self.label_smoothing = share("LinearCrossEntropyLoss: label_smoothing", label_smoothing)
        self.options, self.weight = options, weight
        self.__post_init__()
        if self.weight is not None and self.weight.shape != (num_classes,):
            raise ShapeError(
                f"LinearCrossEntropyLoss: weight is {tuple(self.weight.shape)}; need "
                f"{(num_classes,)}"
            )
        rows = size_of((num_classes, *self.out_features))
        self.linear = Linear(in_features, rows, bias, device, dtype)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        rows = (self.num_classes, *self.out_features)
        bias = self.linear.bias
        return F.linear_cross_entropy(
            input, self.linear.weight.reshape((*rows, self.linear.in_features)), target,
            linear_bias=None if bias is None else bias.reshape(rows), weight=self.weight,
            reduction=self.reduction, ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing, options=self.options,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes}, "
            f"out_features={self.out_features}, bias={self.linear.bias is not None}, "
            f"reduction={self.reduction}, ignore_index={self.ignore_index}, "
            f"label_smoothing={self.label_smoothing}, options={self.options}"
        )
