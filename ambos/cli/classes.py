"""Scores become classes, where a run's loss says what a score is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError


class Classes:
    """The likeliest class of each row, by name where classes have names.

    Of several scores it is the highest, for losses of classes and for a score a class that has a
    name. One score is yes from 0 on if it is a logit and from a half on if it is a probability:
    only the loss can tell.

    Errors: ArgumentError for a loss that is not of classes, or does not say what its one score is;
        for scores that decide nothing, with their row.
    """

    def __init__(self, run: Any, loss: Any) -> None:
        from ambos import nn
        from ambos.nn import functional as F
        from ambos.nn.loss import Loss
        from ambos.train.names import LOSSES

        def among(functions: tuple[Any, ...], modules: tuple[type, ...]) -> bool:
            return loss in functions or isinstance(loss, modules)

        self.name, self.names = run.config["loss"], run.facts.get("classes")
        self.threshold: float | None = None
        if among((F.binary_cross_entropy_with_logits,), (nn.BCEWithLogitsLoss,)):
            self.threshold = 0.0
        elif among((F.binary_cross_entropy,), (nn.BCELoss,)):
            self.threshold = 0.5
        several = among((F.cross_entropy, F.nll_loss), (nn.CrossEntropyLoss, nn.NLLLoss))
        self.is_known = several or self.threshold is not None
        is_ours = among(tuple(LOSSES.values()), (Loss,))
        if not self.is_known and (is_ours or not self.names):
            raise ArgumentError(f"--classes: the loss {self.name} is not of classes, as far as "
                                "is known; leave out --classes for the outputs")  # fmt: skip

    def __call__(self, scores: Any, path: Path, rows: Any) -> Any:
        """Classes of a piece whose rows are called `rows`, or counted from there."""
        table = scores[:, None] if scores.ndim == 1 else scores
        width = table.shape[1]
        if width == 1 and self.threshold is not None:
            best = table[:, 0]
            found = (best > self.threshold).astype(np.int64)
        else:
            self._check(width)
            best, found = table.max(1), table.argmax(1)
        if not np.isfinite(best).all():
            place = self._row(path, rows, ~np.isfinite(best))
            raise ArgumentError(f"{place}: scores are not finite; --classes needs finite scores: "
                                "look for NaN or huge numbers in the row")  # fmt: skip
        if not self.names:
            return found
        if found.max(initial=0) >= len(self.names):
            place = self._row(path, rows, found >= len(self.names))
            raise ArgumentError(f"{place} is of class {found.max()}, of the {len(self.names)} that "
                                f"have names; need a model of {len(self.names)}")  # fmt: skip
        return np.asarray(self.names)[found]

    def _check(self, width: int) -> None:
        if width > 1 and (self.is_known or width == len(self.names or ())):
            return
        count = f"gives {width} score{'s' * (width != 1)} a row"
        if self.is_known:
            raise ArgumentError(f"--classes: the model {count}; the loss {self.name} needs one a "
                                "class: leave out --classes for the outputs")  # fmt: skip
        raise ArgumentError(
            f"--classes: the model {count}, and the loss {self.name} does not say what it means: "
            "a logit or a probability; leave out --classes for the outputs, or train with "
            "loss = 'bce_with_logits' and no sigmoid at the end"
        )

    @staticmethod
    def _row(path: Path, rows: Any, wrong: Any) -> str:
        number = int(np.argwhere(wrong)[0][0])
        return f"{path}: row {rows + number}" if isinstance(rows, int) else str(rows[number])
