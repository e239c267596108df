"""Modules that run only to be looked at: afterwards they are what they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from ambos.nn.parameter import Unsized
from ambos.tensor.handle import Tensor
from ambos.tensor.resting import peek
from ambos.tensor.tracing import makeup


@contextmanager
def untouched(module: Any) -> Iterator[None]:
    """Tensors of the module and of all below it hold afterwards what they held, and attributes are
    those that were. One that made itself parameters or layers, as lazy ones do, keeps these and
    whatever it notes of them."""
    modules = [*module.modules()]
    before = [(each, _makeup(each), dict(vars(each)), dict(each._buffers)) for each in modules]
    held = [
        (tensor, peek(tensor))
        for each in modules
        for tensor in chain(each._parameters.values(), each._buffers.values(), vars(each).values())
        if isinstance(tensor, Tensor) and not isinstance(tensor, Unsized)
    ]
    try:
        yield
    finally:
        for tensor, node in held:
            if peek(tensor) is not node:
                tensor._move(node)
        for each, made, attributes, buffers in before:
            if _makeup(each) == made:
                _put_back(vars(each), attributes)
                _put_back(each._buffers, buffers)


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
