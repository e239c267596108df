"""Metrics by name: ours, and those of Keras that mean the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from ambos import nn
from ambos.core.arguments import checked
from ambos.core.errors import ArgumentError, suggest
from ambos.nn import functional as F
from ambos.train.metrics import accuracy, confusion, counts, curves, likelihood, plain, regression
from ambos.train.metrics.base import Metric, snake
from ambos.train.order import output_first

ROOMS = (accuracy, confusion, counts, curves, likelihood, plain, regression)
BASES = {
    "Counts",
    "Number",
    "Rate",
    "FMeasure",
    "Ranking",
    "Area",
    "Regression",
    "MeanOf",
    "Moments",
    "Averaged",
}
CLASSES: dict[str, type[Metric]] = {
    name: found
    for room in ROOMS
    for name, found in vars(room).items()
    if inspect.isclass(found) and found.__module__ == room.__name__ and name not in BASES
    if issubclass(found, Metric)
}
# Other libraries' names for the same classes.
ALIASES = {
    "JaccardIndex": "IoU", "AUC": "AUROC", "MeanMetric": "Mean", "SumMetric": "Sum",
    "FBeta": "FBetaScore", "F1": "F1Score", "R2": "R2Score", "MAE": "MeanAbsoluteError",
    "MSE": "MeanSquaredError", "RMSE": "RootMeanSquaredError",
    "SparseCategoricalAccuracy": "CategoricalAccuracy", "TopKCategoricalAccuracy": "TopKAccuracy",
    "SparseTopKCategoricalAccuracy": "TopKAccuracy", "MAPE": "MeanAbsolutePercentageError",
    "PearsonCorrelation": "PearsonCorrCoef",
}  # fmt: skip
ON_LOGITS = (
    F.cross_entropy, F.nll_loss, F.binary_cross_entropy_with_logits,
    nn.CrossEntropyLoss, nn.NLLLoss, nn.BCEWithLogitsLoss,
)  # fmt: skip
ON_PROBABILITIES = (F.binary_cross_entropy, nn.BCELoss)
Maker = Callable[..., Metric]
NAMES: dict[str, Maker] = {
    **{snake(name): found for name, found in CLASSES.items()},
    "acc": accuracy.Accuracy,
    "sparse_categorical_accuracy": accuracy.CategoricalAccuracy,
    "multilabel_accuracy": partial(accuracy.Accuracy, "multilabel"),
    "top_k_categorical_accuracy": accuracy.TopKAccuracy,
    "sparse_top_k_categorical_accuracy": accuracy.TopKAccuracy,
    "top5_accuracy": partial(accuracy.TopKAccuracy, 5),
    "iou": counts.IoU,
    "mean_iou": counts.MeanIoU,
    "auc": curves.AUROC,
    "f1": counts.F1Score,
    "r2": regression.R2Score,
    "mae": regression.MeanAbsoluteError,
    "mse": regression.MeanSquaredError,
    "rmse": regression.RootMeanSquaredError,
    "mape": regression.MeanAbsolutePercentageError,
    "jaccard": counts.IoU,
    "matthews": counts.MatthewsCorrCoef,
    "pearson": regression.PearsonCorrCoef,
    "spearman": regression.SpearmanCorrCoef,
}


@checked
def by_name(name: str, **settings: Any) -> Metric:
    """A new metric by its name, as `compile(metrics=[...])` finds it: "accuracy", "f1", "AUROC",
    and Keras's "sparse_categorical_accuracy" and the like. The metric bears the name.

    Errors: ArgumentError for an unknown name, with the nearest.

    Example:
        >>> by_name("f1", average="micro").name
        'f1'
    """
    return maker(name)(**settings)


def maker(name: Any) -> Maker:
    """What makes the metric of a name.

    Errors: ArgumentError for an unknown name, with the nearest.

    Example:
        >>> maker("F1")
        <class 'ambos.train.metrics.counts.F1Score'>
    """
    if isinstance(name, str):
        found = CLASSES.get(ALIASES.get(name, name))
        if found is not None:
            return found
        if name in NAMES:
            return partial(NAMES[name], name=name)
    known = sorted(NAMES)
    raise ArgumentError(
        f"metrics: unknown metric {name!r}; known: {', '.join(known)}"
        f"{suggest(str(name), [*known, *CLASSES, *ALIASES])}"
    )


def find(metric: Any) -> Metric:
    """The metric of what `compile(metrics=[...])` got: a name, a metric, its class, or a function
    `f(output, target)` (of `(y_true, y_pred)` where its first parameter is called so).

    Errors: ArgumentError for anything else.

    Example:
        >>> find(lambda output, target: (output - target).abs().max()).name
        '<lambda>'
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, type):
        return find(metric())
    if callable(metric):
        return plain.Averaged(output_first(metric))
    return by_name(metric)


def learn_from(loss: Any, metrics: Iterable[Metric]) -> None:
    """Tell metrics what the outputs are, logits or probabilities, where the loss knows and nobody
    has said so.

    Example:
        >>> metric = by_name("binary_accuracy")
        >>> learn_from(nn.BCELoss(), [metric])
        >>> metric.from_logits
        False
    """
    known = takes_logits(loss)
    for metric in metrics:
        if metric.from_logits is None:
            metric.from_logits = known


def takes_logits(loss: Any) -> bool | None:
    """Is this a loss of logits, or one of probabilities, or neither for all we know? Of several
    losses, what all of them are.

    Example:
        >>> takes_logits(nn.CrossEntropyLoss()), takes_logits([F.cross_entropy, F.mse_loss])
        (True, None)
    """
    if isinstance(loss, (list, tuple, Mapping)):
        each = {takes_logits(one) for one in (loss.values() if isinstance(loss, Mapping) else loss)}
        return each.pop() if len(each) == 1 else None
    for answer, losses in ((True, ON_LOGITS), (False, ON_PROBABILITIES)):
        if loss in losses or type(loss) in losses:
            return answer
    return None


def better(name: str, model: Any = None) -> str:
    """Which end of a number is the better one, by its name in the logs: "min", "max", or "" where
    nobody knows. Metrics of the model know; so do those that have a name.

    Example:
        >>> better("val_loss"), better("val_head_accuracy"), better("off")
        ('min', 'max', '')
    """
    title = name.removeprefix("val_").removeprefix("weighted_")
    if title == "loss" or title.endswith("_loss"):
        return "min"
    for metric in [] if model is None else model.plan.metrics.each():
        if isinstance(metric, Metric) and _is(title, metric.name):
            return metric.better
    found = next((maker for known, maker in NAMES.items() if _is(title, known)), None)
    return str(getattr(getattr(found, "func", found), "better", ""))


def _is(title: str, name: str) -> bool:
    """Is it this name, or an output's with this name behind it?"""
    return title == name or title.endswith(f"_{name}")
