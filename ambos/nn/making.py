"""What happens between the constructor of a network and its first use."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Protocol
from weakref import ref

from ambos.nn.parameter import Unsized
from ambos.tensor.live import evaluate
from ambos.tensor.resting import peek
from ambos.tensor.tracing import current, paused


class Network(Protocol):
    """What is asked of a module here."""

    def modules(self) -> Iterable[Any]: ...


class Making(threading.local):
    """How many constructors of modules run inside each other."""

    depth = 0


making = Making()
# Networks whose initial numbers nobody has asked for, by id, and the threads that made them.
waiting: dict[int, tuple[ref[Any], int]] = {}
MOST_WAITING = 32  # layers made one by one by the hundred would be one large program


def made(network: Network) -> None:
    """The constructor of `network` has run, and so have all around it. What a traced function makes
    is part of it: there is nothing to compute."""
    if current.trace is None:
        waiting.pop(id(network), None)  # one that is gone had this id
        waiting[id(network)] = ref(network), threading.get_ident()
        if len(waiting) >= MOST_WAITING:
            settle(network)


def settle(asked: object) -> None:
    """Compute the initial numbers that are pending, those of a network in one go: they would become
    part of the first step, and give that a graph of its own. Numbers that were replaced by now, by
    a network for its layers or by those of a file, are never computed.

    They are those of networks that this thread made, and of `asked`: another thread may be about to
    give its networks other numbers, or trace a function that does."""
    if making.depth:
        return
    thread = threading.get_ident()
    for number, (network, maker) in reversed(list(waiting.items())):  # those around others first
        found = network()
        if found is not None and found is not asked and maker != thread:
            continue
        if waiting.pop(number, None) is not None and found is not None:
            _compute(found)


def _compute(network: Network) -> None:
    every = [
        tensor
        for module in network.modules()
        for tensor in (*module._parameters.values(), *module._buffers.values())
    ]
    with paused():
        evaluate(
            tensor
            for tensor in every
            if tensor is not None and not isinstance(tensor, Unsized) and _is_pending(tensor)
        )


def _is_pending(tensor: Any) -> bool:
    return peek(tensor).value is None
