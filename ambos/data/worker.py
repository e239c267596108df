"""A worker process: takes orders from a pipe, lays batches down in shared memory."""

from __future__ import annotations

import pickle
import random
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambos.core.config import config
from ambos.data import information
from ambos.data.fetch import Fetcher
from ambos.data.information import WorkerInfo
from ambos.data.memory import Memory, Parcel, Slot
from ambos.data.selection import Selection
from ambos.tensor.random import default_generator

LONGEST = 300  # characters of a message before its traceback


@dataclass
class Order:
    """What a worker is to do: the batch of these samples, or the next one of a stream that begins
    with `selection`."""

    number: int
    slot: int
    epoch: int
    indices: Any = None
    selection: Selection | None = None
    answered: bool = False  # kept by whoever gave it


@dataclass
class Trouble:
    """What went wrong in a worker, as text, and as the exception itself where it travels."""

    where: str
    kind: str
    text: str
    error: bytes | None

    @staticmethod
    def of(error: BaseException, where: str) -> Trouble:
        """The innermost frames are the user's; ours are left out."""
        packed = None
        with suppress(Exception):  # any exception of a user's class may refuse
            travelling = pickle.dumps(error)
            pickle.loads(travelling)  # as its reader will: not every exception comes back
            packed = travelling
        text = "".join(traceback.format_exception(error))
        said = str(error).partition("\n")[0][:LONGEST]
        kind = type(error).__name__
        return Trouble(where, f"{kind}: {said}" if said else kind, text, packed)


Reply = tuple[int, Any, list[tuple[int, int]]]  # number, a pickle | Trouble | END, places
END = "end"


@dataclass
class Assignment:
    """What a worker gets when it starts."""

    content: Parcel | tuple[Fetcher, Callable[[int], Any] | None]
    id: int
    num_workers: int
    seed: int
    slots: list[Memory]


def work(channel: Any, assignment: Assignment, others: list[Any]) -> None:
    """The life of a worker. `others`: ends of pipes that a forked child inherits and must not
    keep open."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that owns the loader
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # for what is started from here
    for other in others:
        other.close()
    config.threads = 1
    with suppress(EOFError, OSError):  # nobody listens any more
        Worker(channel, assignment).run()
    channel.close()


class Worker:
    """Carries out orders until the pipe closes."""

    def __init__(self, channel: Any, assignment: Assignment) -> None:
        self.channel, self.assignment = channel, assignment
        self.slots = [Slot(memory) for memory in assignment.slots]
        self.slot = self.slots[0]
        self.fetcher: Fetcher | None = None
        self.broken: Trouble | None = None
        self.epoch = -1
        self.batches: Iterator[Any] = iter(())

    def run(self) -> None:
        """Answer order after order."""
        try:
            self._begin()
        except BaseException as error:
            self.broken = Trouble.of(error, "starting")
        while True:
            order = self.channel.recv()
            self.channel.send(self._answer(order))

    def _begin(self) -> None:
        assignment = self.assignment
        content = assignment.content
        fetcher, start = content.open() if isinstance(content, Parcel) else content
        seed = (assignment.seed + assignment.id) & (2**63 - 1)
        information.enter(WorkerInfo(assignment.id, assignment.num_workers, seed, fetcher.dataset))
        seed_globals(assignment.seed, 0, assignment.id)
        if start is not None:
            try:
                start(assignment.id)
            except Exception as error:
                self.broken = Trouble.of(error, "worker_init_fn")
        self.fetcher = fetcher

    def _answer(self, order: Order) -> Reply:
        if self.broken is not None or self.fetcher is None:
            return order.number, self.broken, []
        self.slot = self.slots[order.slot]
        try:
            self.slot.clear()
            seed_globals(self.assignment.seed, order.epoch, order.number)
            if order.indices is not None:
                batch = self._batch(self.fetcher, order)
            else:
                if order.selection is not None:
                    self.batches = self._stream(self.fetcher, order.epoch, order.selection)
                batch = next(self.batches, END)
            if batch is END:
                return order.number, END, []
            text, places = self.slot.pack(batch)
            return order.number, text, places
        except BaseException as error:  # an interrupt, sys.exit: its owner decides
            return order.number, Trouble.of(error, self.fetcher.explain(error)), []

    def _batch(self, fetcher: Fetcher, order: Order) -> Any:
        if order.epoch != self.epoch and hasattr(fetcher.dataset, "set_epoch"):
            fetcher.dataset.set_epoch(order.epoch)
        self.epoch = order.epoch
        return fetcher.batch(self.assignment.seed, order.epoch, order.indices, self.slot.empty)

    def _stream(self, fetcher: Fetcher, epoch: int, selection: Selection) -> Iterator[Any]:
        empty = lambda shape, dtype: self.slot.empty(shape, dtype)  # of the order's slot
        return fetcher.stream(self.assignment.seed, epoch, selection, empty)


def seed_globals(seed: int, epoch: int, number: int) -> None:
    """The global streams of Python, NumPy, PyTorch and ours for a batch: other numbers in each, the
    same in each run, whichever worker makes it."""
    words = [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF, epoch, number]
    np.random.seed(words)
    random.seed(repr(words))
    word = random.getrandbits(62)
    default_generator.manual_seed(word)
    torch = sys.modules.get("torch")
    if torch is not None:  # torchvision's transforms draw from there
        torch.default_generator.manual_seed(
            word
        )  # manual_seed tells all devices: 200 times as long
