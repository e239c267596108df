"""Which batch of an epoch comes next: what the state of a loader holds."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ambos.core.errors import FormatError
from ambos.data.selection import Selection


class Position:
    """A place in an epoch: `batch` of them were delivered, and those of `beyond`, where the order
    was not kept; `shares` are those that each worker delivered of a stream."""

    def __init__(self, epoch: int, batch: int, finished: bool) -> None:
        self.epoch, self.batch, self.finished = epoch, batch, finished
        self.started = False
        self.beyond: set[int] = set()
        self.shares: list[int] = []
        self.turn = 0  # the worker that is asked next
        self.sampler: Any = None  # its state when the epoch began

    @property
    def next_epoch(self) -> int:
        """The epoch that a new loop begins."""
        return self.epoch + bool(self.started)

    def selection(self, loader: Any) -> Selection:
        """What is left of a stream."""
        return Selection(self.batch * (loader.batch_size or 1))

    def deliver(self, number: int) -> None:
        """Batch `number` goes to the consumer."""
        self.beyond.add(number)
        while self.batch in self.beyond:
            self.beyond.discard(self.batch)
            self.batch += 1

    def state_dict(self) -> dict[str, Any]:
        """As plain numbers; a finished epoch is the beginning of the next."""
        if self.finished:
            return {"epoch": self.epoch + 1, "batch": 0}
        state: dict[str, Any] = {"epoch": self.epoch, "batch": self.batch}
        if self.beyond:
            state["beyond"] = sorted(self.beyond)
        if any(self.shares):
            state["shares"], state["turn"] = list(self.shares), self.turn
        return state

    @staticmethod
    def of(state: Mapping[str, Any]) -> Position:
        """From `state_dict`.

        Errors: FormatError for anything else.
        """
        try:
            position = Position(int(state["epoch"]), int(state["batch"]), finished=False)
            position.beyond = {int(number) for number in state.get("beyond", ())}
            position.shares = [int(count) for count in state.get("shares", ())]
            position.turn = int(state.get("turn", 0))
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"DataLoader.load_state_dict: got {state!r:.80}; need what state_dict() gave"
            ) from error
        if position.epoch < 0 or position.batch < 0:
            raise FormatError("DataLoader.load_state_dict: epoch or batch is negative")
        return position


class Passes:
    """The passes over a loader: the latest one, and what the next one goes on with."""

    def __init__(self) -> None:
        self.latest = Position(0, 0, finished=False)
        self.resumed: Position | None = None

    def set_epoch(self, epoch: int) -> None:
        """The next pass is this epoch, from its beginning."""
        self.latest, self.resumed = Position(epoch, 0, finished=False), None

    def resume(self, position: Position) -> None:
        """The next pass goes on there."""
        self.latest = self.resumed = position

    def begin(self, sampler: Any) -> Position:
        """Where a new pass stands."""
        resumed, self.resumed = self.resumed, None
        self.latest = resumed or Position(self.latest.next_epoch, 0, finished=False)
        self.latest.started = True
        if hasattr(sampler, "state_dict"):
            self.latest.sampler = copy.deepcopy(sampler.state_dict())
        return self.latest
