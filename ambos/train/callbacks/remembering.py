"""Callbacks with something to remember."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ambos.train.callbacks.base import Callback, Logs


class Remembering(Callback):
    """Base: `remembered` names what has to survive a crash, `fresh` sets it when a training begins.
    A training that goes on begins with what was remembered."""

    remembered: tuple[str, ...] = ()
    _goes_on = False

    def fresh(self) -> None:
        """Set what is remembered as it is before the first epoch."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if not self._goes_on:
            self.fresh()
        self._goes_on = False  # and if this one breaks off, the next is a new one

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.remembered}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name in self.remembered:
            setattr(self, name, state[name])
        self._goes_on = True
