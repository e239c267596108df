"""What happens between the constructor of a network and its first use."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Protocol
from weakref import ref

from ambos.nn.parameter import Unsized
from ambos.tensor.live import evaluate
from ambos.tensor.resting import peek
from ambos.tensor.tracing import paused


class Network(Protocol):
    """What is asked of a module here."""

    def modules(self) -> Iterable[Any]: ...


class Making(threading.local):
    """How many constructors of modules run inside each other."""

    depth = 0


making = Making()
waiting: list[ref[Any]] = []  # networks whose initial numbers nobody has asked for


def made(network: Network) -> None:
    """The constructor of `network` has run, and so have all around it."""
    waiting.append(ref(network))


def settle() -> None:
    """Compute the initial numbers that are pending, those of a network in one go: they would become
    part of the first step, and give that a graph of its own. Numbers that were replaced by now, by
    a network for its layers or by those of a file, are never computed."""
    if making.depth:
        return
    while waiting:
        try:
            network = waiting.pop()()
        except IndexError:  # another thread was faster
            return
        if network is None:
            continue
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
