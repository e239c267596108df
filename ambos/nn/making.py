"""What happens once the constructor of a network has run."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Protocol

from ambos.nn.parameter import Unsized
from ambos.tensor.live import evaluate
from ambos.tensor.resting import peek


class Network(Protocol):
    """What is asked of a module here."""

    def modules(self) -> Iterable[Any]: ...


class Making(threading.local):
    """How many constructors of modules run inside each other."""

    depth = 0


making = Making()


def settle(network: Network) -> None:
    """Compute the initial numbers that are pending, all in one go: they would become part of the
    first step, and give that a graph of its own. Numbers that the network has replaced by others
    of its own are never computed."""
    every = [
        tensor
        for module in network.modules()
        for tensor in (*module._parameters.values(), *module._buffers.values())
    ]
    evaluate(
        tensor
        for tensor in every
        if tensor is not None and not isinstance(tensor, Unsized) and peek(tensor).value is None
    )
