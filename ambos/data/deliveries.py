"""The batches that workers make, given to the consumer in order or as they come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.data.crew import Crew
from ambos.data.position import Position
from ambos.data.selection import share_of
from ambos.data.worker import END, Order, Reply


class Deliveries:
    """The batches that workers make, in order or as they come."""

    def __init__(self, loader: Any, crew: Crew, position: Position) -> None:
        self.loader, self.crew, self.position = loader, crew, position
        self.ticket = crew.reader = object()  # not this object: a crew must not hold its loader

    def __iter__(self) -> Iterator[Any]:
        return self._stream() if self.loader.is_stream else self._indexed()

    def _indexed(self) -> Iterator[Any]:
        """Orders go out in order, each to the worker with the least to do."""
        crew, position, loader = self.crew, self.position, self.loader
        orders = enumerate(loader.batches(position.epoch))
        arrived: dict[int, tuple[int, Order, Reply]] = {}
        pending = 0
        more = True
        while True:
            while more and (worker := crew.idlest()) is not None:
                entry = next(orders, None)
                if entry is None:
                    more = False
                elif entry[0] >= position.batch and entry[0] not in position.beyond:
                    slot = crew.free(worker)
                    assert slot is not None
                    crew.send(worker, Order(entry[0], slot, position.epoch, entry[1]))
                    pending += 1
            if not pending:
                return
            wanted = position.batch if loader.in_order else next(iter(arrived), -1)
            while wanted not in arrived:
                worker, order, reply = crew.receive(loader.timeout)
                arrived[order.number] = worker, order, reply
                wanted = wanted if loader.in_order else order.number
            batch = crew.unpack(*arrived.pop(wanted))
            pending -= 1
            position.deliver(wanted)
            yield batch
            self._check()

    def _stream(self) -> Iterator[Any]:
        """Each worker has a share of the stream; they deliver in turn."""
        crew, position, loader = self.crew, self.position, self.loader
        count = loader.num_workers
        if len(position.shares) != count:
            position.shares = _shares(position.batch, count)
            position.turn = position.batch % count
        size = loader.batch_size or 1
        for worker in range(count):
            selection = share_of(worker, count, position.shares[worker], size)
            for slot in range(crew.num_slots):
                number = position.shares[worker] + slot
                first = selection if slot == 0 else None
                crew.send(worker, Order(number, slot, position.epoch, None, first))
        arrived: list[dict[int, tuple[int, Order, Reply]]] = [{} for _ in range(count)]
        ended: set[int] = set()
        while len(ended) < count:
            worker = position.turn
            while worker in ended:
                worker = (worker + 1) % count
            wanted = position.shares[worker]
            while wanted not in arrived[worker]:
                found = crew.receive(loader.timeout)
                arrived[found[0]][found[1].number] = found
                if not loader.in_order:
                    worker = found[0]
                    wanted = position.shares[worker]
            delivery = arrived[worker].pop(wanted)
            if delivery[2][1] == END:
                crew.discard(worker, delivery[1])
                ended.add(worker)
                continue
            batch = crew.unpack(*delivery)
            crew.send(worker, Order(wanted + crew.num_slots, delivery[1].slot, position.epoch))
            position.shares[worker] += 1
            position.batch += 1
            position.turn = (worker + 1) % count
            yield batch
            self._check()

    def _check(self) -> None:
        if self.crew.reader is not self.ticket:
            raise ArgumentError("DataLoader: another `for` loop has taken over the workers of "
                                "this one; need a loader for each")  # fmt: skip


def _shares(batch: int, count: int) -> list[int]:
    """How many of `batch` batches each worker delivered, if they took turns from the first."""
    whole, rest = divmod(batch, count)
    return [whole + (worker < rest) for worker in range(count)]
