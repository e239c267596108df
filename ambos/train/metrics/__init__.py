"""Metrics: streaming, mergeable, exact over uneven batches."""

from typing import TYPE_CHECKING

from ambos.core.arguments import answering
from ambos.train.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    TopKAccuracy,
)
from ambos.train.metrics.base import Metric
from ambos.train.metrics.confusion import CohenKappa, ConfusionMatrix
from ambos.train.metrics.counts import (
    Dice,
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    IoU,
    MatthewsCorrCoef,
    MeanIoU,
    Precision,
    Recall,
    Specificity,
    TrueNegatives,
    TruePositives,
)
from ambos.train.metrics.curves import AUROC, ROC, AveragePrecision, PrecisionRecallCurve
from ambos.train.metrics.likelihood import LogLoss, Perplexity
from ambos.train.metrics.names import ALIASES, by_name, find, learn_from
from ambos.train.metrics.plain import Averaged, Mean, Sum
from ambos.train.metrics.regression import (
    CosineSimilarity,
    ExplainedVariance,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    PearsonCorrCoef,
    R2Score,
    RootMeanSquaredError,
    SpearmanCorrCoef,
)

__all__ = [
    "AUROC",
    "ROC",
    "Accuracy",
    "AveragePrecision",
    "Averaged",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "CohenKappa",
    "ConfusionMatrix",
    "CosineSimilarity",
    "Dice",
    "ExplainedVariance",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "IoU",
    "LogLoss",
    "MatthewsCorrCoef",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanSquaredError",
    "Metric",
    "PearsonCorrCoef",
    "Perplexity",
    "Precision",
    "PrecisionRecallCurve",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "SpearmanCorrCoef",
    "Specificity",
    "Sum",
    "TopKAccuracy",
    "TrueNegatives",
    "TruePositives",
    "by_name",
    "find",
    "learn_from",
]
globals().update({alias: globals()[name] for alias, name in ALIASES.items()})
__all__ += list(ALIASES)

if not TYPE_CHECKING:  # a type checker knows the names, and would take this for any name
    __getattr__ = answering(__name__, __all__)
