"""TerminateOnNaN."""

from __future__ import annotations

import math

from ambos.core.errors import NonFiniteError
from ambos.train.callbacks.base import Callback, Logs


class TerminateOnNaN(Callback):
    """Stop when the loss is NaN or infinite, after the batch, or raise with `raise_error`. It looks
    at the loss of every batch, so the next one waits for it.

    Errors: NonFiniteError with `raise_error`, naming the batch.

    Example:
        >>> TerminateOnNaN(raise_error=True).raise_error
        True
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        problem = f"the loss is {loss} after batch {batch}"
        if self.raise_error:
            raise NonFiniteError(
                f"TerminateOnNaN: {problem}; need a smaller learning rate, clip_norm=1.0, or "
                "am.debug() to find the operation that made it"
            )
        print(f"{problem}: training ends")
        self.model.stop_training = True
