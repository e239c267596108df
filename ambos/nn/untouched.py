"""Modules that run only to be looked at: afterwards they are what they were."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ambos.nn.parameter import Unsized
from ambos.tensor.handle import Tensor
from ambos.tensor.resting import peek
from ambos.tensor.tracing import makeup

TABLES = ("_parameters", "_modules", "_buffers")
REFILLS: dict[type, Callable[..., None]] = {
    list: list.extend, dict: dict.update, set: set.update, deque: deque.extend,
}  # fmt: skip


@contextmanager
def untouched(module: Any) -> Iterator[None]:
    """Tensors of the module and of all below it hold afterwards what they held, attributes are
    those that were, and lists, dicts and sets among them have in them what they had. One that made
    itself parameters or layers, as lazy ones do, keeps these and whatever it notes of them."""
    modules = [*module.modules()]
    before = [
        (each, _makeup(each), dict(vars(each)), dict(each._buffers), _Held(_values(each)))
        for each in modules
    ]
    try:
        yield
    finally:
        for each, made, attributes, buffers, held in before:
            held.put_tensors_back()
            if _makeup(each) == made:
                _put_back(vars(each), attributes)
                _put_back(each._buffers, buffers)
                held.refill()


class _Held:
    """Tensors and containers, however deep in others, and what is in them now."""

    def __init__(self, values: Iterable[Any]) -> None:
        self.tensors: list[tuple[Tensor, Any]] = []
        self.containers: dict[int, tuple[Any, list[Any]]] = {}
        waiting: list[Any] = [*values]
        while waiting:
            value = waiting.pop()
            if isinstance(value, Tensor):
                if not isinstance(value, Unsized):
                    self.tensors.append((value, peek(value)))
            elif isinstance(value, (*REFILLS, tuple)) and id(value) not in self.containers:
                self.containers[id(value)] = value, _items(value)
                waiting += _parts(value)

    def put_tensors_back(self) -> None:
        for tensor, node in self.tensors:
            if peek(tensor) is not node:
                tensor._move(node)

    def refill(self) -> None:
        for container, items in self.containers.values():
            if not _are_same(_items(container), items):
                kind = next(kind for kind in REFILLS if isinstance(container, kind))
                kind.clear(container)  # type: ignore[attr-defined]
                REFILLS[kind](container, items)


def _values(module: Any) -> list[Any]:
    own = [value for name, value in vars(module).items() if name not in TABLES]
    return [*own, *module._parameters.values(), *module._buffers.values()]


def _items(container: Any) -> list[Any]:
    return [*container.items()] if isinstance(container, dict) else [*container]


def _parts(container: Any) -> list[Any]:
    return [*container.values()] if isinstance(container, dict) else [*container]


def _are_same(items: list[Any], before: list[Any]) -> bool:
    """The very same? Tensors are not compared by their numbers."""
    if len(items) != len(before):
        return False
    return all(
        a is b or (isinstance(a, tuple) and isinstance(b, tuple) and _are_same([*a], [*b]))
        for a, b in zip(items, before, strict=True)
    )


def _makeup(module: Any) -> Any:
    tables = module._parameters, module._modules, module._buffers
    return type(module), [
        (name, type(part)) for table in tables for name, part in table.items()
        if part is not None and (table is not tables[2] or isinstance(part, Unsized))
    ]  # fmt: skip


def _put_back(table: dict[str, Any], before: dict[str, Any]) -> None:
    for name in [name for name in table if name not in before]:
        del table[name]
        makeup.version += 1
    for name, value in before.items():
        if name not in table or table[name] is not value:
            table[name] = value
            makeup.version += 1
