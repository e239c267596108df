"""Modules as JSON: the class and the constructor's arguments, so that nothing is ever executed
that the reader does not know by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ambos import nn
from ambos.core.errors import AmbosError, ArgumentError, FormatError
from ambos.nn.utils.parametrize import is_parametrized
from ambos.train.graphs import Undescribed, described, symbolic

Json = Any
LAYERS: dict[str, type] = {
    name: cls
    for name, cls in vars(nn).items()
    if isinstance(cls, type) and issubclass(cls, nn.Module) and cls is not nn.Module
}


def describe(module: nn.Module) -> Json:
    """A description of `module`, or None where it cannot be described.

    A class of the user's own is described by name; reading needs that class again.
    """
    made, graph = module._made_with, module.__dict__.get("graph")
    if is_parametrized(module):  # which its constructor does not make
        return None
    if made is None and graph is not None:
        return _describe_graph(module, graph)
    if isinstance(module, nn.Sequential) or made is None:
        if not isinstance(module, nn.Sequential):
            return None
        layers = {name: describe(child) for name, child in module.named_children()}
        if None in layers.values():
            return None
        return {"class": name_of(type(module)), "layers": layers}
    cls, args, kwargs = made
    written = _write((list(args), kwargs))
    return None if written is None else {
        "class": name_of(cls), "args": written[0], "kwargs": written[1],
    }  # fmt: skip


def _describe_graph(module: nn.Module, graph: Any) -> Json:
    """A functional model: its layers by name, and how they are called."""
    layers = {name: describe(child) for name, child in graph.modules.items()}
    if None in layers.values():
        return None
    try:
        calls = described(graph)
        if not graph.is_described:  # once: nothing is written that could not be read
            symbolic(calls, graph.modules)
            graph.is_described = True
    except Undescribed:
        return None
    except AmbosError as error:
        raise ArgumentError(f"save: the model could not be drawn again: {error.message}") from None
    names = {key: child.__dict__.get("name") for key, child in graph.modules.items()}
    return {"class": name_of(type(module)), "name": module.__dict__.get("name"),
            "functional": layers, "names": names, "graph": calls,
            "dtypes": sorted(graph.dtypes)}  # fmt: skip


def name_of(cls: type) -> str:
    """How a class is called in a file; those of `ambos.train` are apart from those of `nn`."""
    return f"am.{cls.__name__}" if cls.__module__.startswith("ambos.train") else cls.__name__


def _write(value: Any) -> Json:
    """Arguments as JSON; modules become {"module": ...}. None where that is impossible."""
    args, kwargs = value
    items = [_write_one(arg) for arg in args]
    named = {key: _write_one(arg) for key, arg in kwargs.items()}
    if _FAILED in items or _FAILED in named.values():
        return None
    return items, named


_FAILED: Any = ["failed"]


def _write_one(value: Any) -> Json:
    if isinstance(value, nn.Module):
        inner = describe(value)
        return _FAILED if inner is None else {"module": inner}
    if isinstance(value, (list, tuple)):
        items = [_write_one(item) for item in value]
        return _FAILED if _FAILED in items else items
    if isinstance(value, Mapping):
        pairs = {key: _write_one(item) for key, item in value.items()}
        return _FAILED if _FAILED in pairs.values() else {"mapping": pairs}
    return value


def build(description: Json, classes: Mapping[str, type]) -> nn.Module:
    """The module that `describe` described; `classes` are those of the user's own.

    Errors: FormatError for an unknown class or arguments that do not fit.
    """
    known = LAYERS | dict(classes)
    try:
        return _build(description, known)
    except (LookupError, TypeError, ValueError, AttributeError, AmbosError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"load: the architecture in the file does not fit: {error}") from error


def _build(description: Json, known: Mapping[str, type]) -> nn.Module:
    name = description["class"]
    if name not in known:
        raise FormatError(
            f"load: the file holds a {name!r}, which is no layer of ambos; need its class: "
            f"am.Model.load(path, classes=[{name}]), or make the model and call model.load(path)"
        )
    cls = known[name]
    if "functional" in description:
        children = {key: _build(value, known) for key, value in description["functional"].items()}
        if len(dtypes := description.get("dtypes", ())) == 1:  # as `Model.to` has left them
            for child in children.values():
                child.to(dtypes[0])
        for key, own in description["names"].items():
            if own is not None:
                children[key].__dict__["name"] = own
        given, made = symbolic(description["graph"], children)
        model: nn.Module = cls(inputs=given, outputs=made)
        for key, child in children.items():  # as they were called, whatever calls them now
            if model._modules.get(key) is not child:
                raise FormatError(f"load: layer {key!r} has another name in {name}")
        if description["name"] is not None:
            model.__dict__["name"] = description["name"]
        return model
    if "layers" in description:
        layers = {key: _build(value, known) for key, value in description["layers"].items()}
        module: nn.Module = cls(layers)
        return module
    args = [_read(value, known) for value in description["args"]]
    kwargs = {key: _read(value, known) for key, value in description["kwargs"].items()}
    module = cls(*args, **kwargs)
    return module


def _read(value: Json, known: Mapping[str, type]) -> Any:
    if isinstance(value, list):
        return tuple(_read(item, known) for item in value)
    if isinstance(value, dict):
        if "module" in value:
            return _build(value["module"], known)
        return {key: _read(item, known) for key, item in value["mapping"].items()}
    return value
