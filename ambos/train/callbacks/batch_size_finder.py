"""BatchSizeFinder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ambos.core.arguments import positive, share
from ambos.core.errors import ArgumentError
from ambos.nn.modes import in_mode
from ambos.runtime.memory import available
from ambos.tensor.forecast import forecast
from ambos.train.batches import Arrays, handed
from ambos.train.callbacks.base import Callback, Logs
from ambos.train.callbacks.monitor import say
from ambos.train.recipe import Recipe
from ambos.train.sizes import settle
from ambos.train.step import prepared


class BatchSizeFinder(Callback):
    """The largest batch whose training step fits into memory: `fit` with arrays goes on with it.

    A step is planned, not run (`am.forecast`), for `nbytes` or, not said, for the `part` of what is
    free now; model, optimizer and random state are not touched, but for lazy layers, which get
    their sizes. Batches are powers of two unless `powers` is False, at least `min_size` and at most
    `max_size` and the rows that there are. Afterwards `batch_size` has it.

    Errors: ArgumentError where not even `min_size` fits, for data that comes in batches, whose size
        is another's to set, and for a `train_step` that cannot be recorded.

    Example:
        >>> import numpy as np
        >>> import ambos as am
        >>> model = am.Sequential([am.nn.Linear(2, 1)])
        >>> model.compile("sgd", "mse")
        >>> finder = BatchSizeFinder(max_size=64)
        >>> x = np.ones((500, 2))
        >>> history = model.fit(x, x[:, :1], verbose=0, callbacks=[finder])
        >>> finder.batch_size
        64
    """

    def __init__(
        self,
        nbytes: int | None = None,
        part: float = 0.8,
        min_size: int = 1,
        max_size: int | None = None,
        powers: bool = True,
        verbose: int = 0,
    ) -> None:
        name = "BatchSizeFinder"
        self.nbytes = None if nbytes is None else positive(f"{name}: nbytes", nbytes)
        self.part, self.min_size = share(f"{name}: part", part), positive("min_size", min_size)
        self.max_size = None if max_size is None else positive(f"{name}: max_size", max_size)
        self.powers, self.verbose = powers, verbose
        self.batch_size: int | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        source = self.model.run.source
        if not isinstance(source, Arrays):
            raise ArgumentError(
                "BatchSizeFinder: the data comes in batches, whose size is settled; need fit(x, y, "
                "callbacks=[finder]) on arrays, of which as many rows as the largest batch will "
                "do, then a loader with batch_size=finder.batch_size"
            )
        if self.batch_size is None:
            self.batch_size = self._found(source)
        source.batch_size = self.batch_size
        self.params["steps"] = source.steps
        say(self.verbose, f"BatchSizeFinder: batches of {self.batch_size}")

    def _found(self, source: Arrays) -> int:
        model, batch = self.model, next(source.one_pass(0, 0))
        settle("BatchSizeFinder", model, batch[0])

        def step(*parts: Any) -> dict[str, Any]:
            with in_mode(model, True):
                logs = model.train_step(handed(prepared(model, parts, Recipe()))) or {}
            return {name: getattr(value, "statistics", value) for name, value in logs.items()}

        limit = int(available() * self.part) if self.nbytes is None else self.nbytes
        most = min(forecast(step, *batch).largest_batch(limit), source.rows)
        most = most if self.max_size is None else min(most, self.max_size)
        size = 1 << (most.bit_length() - 1) if self.powers and most else most
        if size < self.min_size:
            raise ArgumentError(
                f"BatchSizeFinder: a batch of {self.min_size} does not fit into {limit} bytes; "
                "need more memory, a smaller model, or precision='bfloat16'"
            )
        return size

    def state_dict(self) -> dict[str, Any]:
        return {"batch_size": self.batch_size}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.batch_size = state["batch_size"]
