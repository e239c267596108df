"""Turns at one model: each batch finds it in its mode, whatever other threads do between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any


class Turns:
    """Who may use a model now, and in which mode.

    A mode belongs to the modules, which all threads share: an evaluation that is done must not put
    them into training mode under another one, nor one that goes on leave `fit` in eval mode. So the
    steps of a model are made one after another, and each puts the modules into its mode if the one
    before it was of the other kind; the last evaluation that is done restores them.
    """

    def __init__(self) -> None:
        self.step = RLock()  # held for a batch
        self.sums = RLock()  # held for an evaluation: its steps add to the same tensors
        self.evaluations = 0  # that are under way
        self.resting: list[Any] | None = None  # modules that train again afterwards

    @contextmanager
    def evaluating(self, model: Any) -> Iterator[None]:
        """The model in eval mode; modules that were in it stay so, the others train again."""
        with self.step:
            self.evaluations += 1
            self._rest(model)
        try:
            yield
        finally:
            with self.step:
                self.evaluations -= 1
                if not self.evaluations:
                    self._wake()

    def train(self, model: Any, mode: bool = True) -> None:
        """`model.train(mode)`, for evaluations that are under way too: where they end."""
        with self.step:
            self.resting = None
            model.train(mode)

    def mode(self, model: Any) -> bool:
        """Does the model train, once no evaluation is under way?"""
        with self.step:
            resting = self.resting or ()
            return bool(model.training) or any(module is model for module in resting)

    def taking(self, model: Any, trains: bool, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call` as steps that train, or that do not."""

        def turn(*batch: Any) -> Any:
            with self.step:
                if trains:
                    self._wake()
                elif self.evaluations:
                    self._rest(model)
                return call(*batch)

        return turn

    def _rest(self, model: Any) -> None:
        if self.resting is None:
            self.resting = [module for module in model.modules() if module.training]
            if self.resting:
                model.eval()

    def _wake(self) -> None:
        for module in self.resting or ():
            module.training = True
        self.resting = None
