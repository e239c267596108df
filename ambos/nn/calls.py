"""Modules as functions of their tensors: `functional_call`, `stack_modules`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ambos.core.arguments import checked
from ambos.core.errors import ArgumentError, ArgumentTypeError, ShapeError, suggest
from ambos.nn import state
from ambos.nn.module import Module
from ambos.nn.parameter import Unsized
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.joining import stack
from ambos.tensor.lending import lent

Tensors = dict[str, Tensor]


@checked
def functional_call(
    module: Module, params: Any, *args: Any, strict: bool = False, return_buffers: bool = False,
    **kwargs: Any,
) -> Any:  # fmt: skip
    """`module(*args, **kwargs)` with the tensors `params` in place of its own: a dict by the names
    of `named_parameters()` and `named_buffers()` (dicts within dicts serve as well), or several
    such dicts in a tuple. What is not among them the module takes from itself; `strict` wants
    everything.

    The module is left as it is. Buffers that the forward renews (running statistics) are renewed in
    the tensors given; with `return_buffers` those stay as they are, and the result is a pair of the
    module's result and a dict of its buffers after the call. Tied tensors are given under any of
    their names. One thread at a time calls a module so, and meanwhile nobody else.

    Errors: ArgumentError for names that the module does not have, that are given twice, or that
        `strict` misses.
    Source: PyTorch's `torch.func.functional_call`, whose spelling is `am.func.functional_call`.

    Example:
        >>> import ambos as am
        >>> net = am.nn.Linear(2, 1)
        >>> params = {"weight": am.tensor([[1.0, 2.0]]), "bias": am.tensor([3.0])}
        >>> am.functional_call(net, params, am.tensor([10.0, 100.0])).item()
        213.0
    """
    _require_module("functional_call", module)
    known = _tensors_of(module)
    given = _given(params)
    _check_names(module, known, given, strict)
    handles = {id(known[name]): known[name] for name in given}
    tensors: dict[int, Tensor] = {}
    for name, tensor in given.items():
        if tensors.setdefault(id(known[name]), tensor) is not tensor:
            names = ", ".join(n for n in given if known[n] is known[name])
            raise ArgumentError(f"functional_call: {names} are one tensor of the module and got "
                                "several; need the same, or one of the names")  # fmt: skip
    if return_buffers:  # which the forward rebinds: on handles of their own
        for buffer in module.buffers():
            handles[id(buffer)] = buffer
            tensors[id(buffer)] = wrap(tensors.get(id(buffer), buffer)._node)
    nodes = [tensors[number]._node for number in handles]
    homes = [home for home in _buffer_homes(module) if id(home[2]) in handles]
    with lent("functional_call", [*handles.values()], nodes):
        try:
            result = module(*args, **kwargs)
        finally:
            after = {number: handle._node for number, handle in handles.items()}
            for table, name, buffer in homes:
                now = table.get(name)
                if isinstance(now, Tensor):
                    after[id(buffer)] = now._node
                table[name] = buffer
    for number, node in zip(handles, nodes, strict=True):
        if after[number] is not node:
            tensors[number]._move(after[number])
    if not return_buffers:
        return result
    return result, {name: tensors[id(buffer)] for name, buffer in module.named_buffers()}


@checked
def stack_modules(modules: Any) -> tuple[Tensors, Tensors]:
    """Parameters and buffers of modules of one kind, by name, each stacked along a new first axis:
    an ensemble, to be called by `vmap` of `functional_call`.

    Errors: ArgumentError for no modules, or for modules of several kinds, modes or sets of names;
        ShapeError for tensors of several shapes.
    Source: PyTorch's `torch.func.stack_module_state`.

    Example:
        >>> import ambos as am
        >>> params, buffers = am.stack_modules([am.nn.Linear(3, 2) for _ in range(5)])
        >>> {name: tensor.shape for name, tensor in params.items()}
        {'weight': (5, 2, 3), 'bias': (5, 2)}
    """
    if not isinstance(modules, Iterable) or isinstance(modules, Module):
        raise ArgumentTypeError(f"stack_modules: got {type(modules).__name__}; need a list of "
                                "modules")  # fmt: skip
    several = [*modules]
    if not several:
        raise ArgumentError("stack_modules: got no modules; need a list of at least one")
    first = several[0]
    for number, module in enumerate(several):
        _require_module(f"stack_modules: number {number}", module)
        if type(module) is not type(first):
            raise ArgumentError(
                f"stack_modules: number 0 is {type(first).__name__}, number {number} "
                f"{type(module).__name__}; need one class"
            )
        if module.training is not first.training:
            raise ArgumentError(
                f"stack_modules: number 0 has training={first.training}, number {number} "
                f"training={module.training}; need one mode: call train() or eval() on all"
            )
    params = [dict(module.named_parameters()) for module in several]
    buffers = [dict(module.named_buffers()) for module in several]
    return _stacked(params), _stacked(buffers)


def _stacked(several: list[Any]) -> Tensors:
    first = several[0]
    for number, one in enumerate(several):
        if one.keys() != first.keys():
            name = sorted(one.keys() ^ first.keys())[0]
            has, lacks = (number, 0) if name in one else (0, number)
            raise ArgumentError(f"stack_modules: number {has} has {name!r}, number {lacks} has "
                                "not; need modules of the same parts")  # fmt: skip
        for name, tensor in one.items():
            _require_sizes("stack_modules", name, tensor)
            if tensor.shape != first[name].shape:
                raise ShapeError(
                    f"stack_modules: {name} is {first[name].shape} in number 0 and "
                    f"{tensor.shape} in number {number}; need equal shapes"
                )
    return {
        name: _as_leaf(stack([one[name].detach() for one in several]), first[name].requires_grad)
        for name in first
    }


def _as_leaf(tensor: Tensor, requires_grad: bool) -> Tensor:
    return tensor.requires_grad_() if requires_grad else tensor


def _require_module(op: str, module: Any) -> None:
    if isinstance(module, type) and issubclass(module, Module):
        name = module.__name__
        raise ArgumentError(f"{op}: got the class {name}; need a module of it: {name}(...)")
    if not isinstance(module, Module):
        raise ArgumentError(f"{op}: got {type(module).__name__}; need an nn.Module")


def _require_sizes(op: str, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Unsized):
        raise ArgumentError(f"{op}: {name} has no shape yet: its layer infers sizes at the first "
                            "call; need a call of the module with one batch first")  # fmt: skip


def _tensors_of(module: Any, prefix: str = "") -> Tensors:
    """Parameters and buffers under all their names."""
    found: Tensors = {}
    for table in (module._parameters, module._buffers):
        for name, tensor in table.items():
            if tensor is not None:
                found[state.join(prefix, name)] = tensor
    for name, child in module._modules.items():
        if child is not None:
            found |= _tensors_of(child, state.join(prefix, name))
    return found


def _buffer_homes(module: Module) -> Iterator[tuple[dict[str, Any], str, Tensor]]:
    """Where the buffers lie: a forward may put another tensor there."""
    for inner in module.modules():
        for name, buffer in inner._buffers.items():
            if buffer is not None:
                yield inner._buffers, name, buffer


def _given(params: Any) -> Tensors:
    """One dict of all that was given."""
    found: Tensors = {}
    for part in params if isinstance(params, (tuple, list)) else (params,):
        if not isinstance(part, Mapping):
            raise ArgumentError(
                f"functional_call: params is {type(part).__name__}; need a dict of names to "
                "tensors, dict(module.named_parameters()), or a tuple of such dicts"
            )
        for name, value in _dotted(part, ""):
            if name in found:
                raise ArgumentError(f"functional_call: {name} is given twice; need it once")
            found[name] = value if isinstance(value, Tensor) else Tensor(value)
    return found


def _dotted(part: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in part.items():
        path = state.join(prefix, str(name))
        if isinstance(value, Mapping):
            yield from _dotted(value, path)
        else:
            yield path, value


def _check_names(module: Module, known: Tensors, given: Tensors, strict: bool) -> None:
    kind = type(module).__name__
    for name in given:
        if name not in known:
            raise ArgumentError(f"functional_call: {kind} has no tensor {name!r}; need the names "
                                f"of its parameters and buffers{suggest(name, known)}")  # fmt: skip
        _require_sizes("functional_call", name, known[name])
    there = {id(known[name]) for name in given}
    missing = [name for name, tensor in known.items() if id(tensor) not in there]
    if strict and missing:
        raise ArgumentError(f"functional_call: no {', '.join(missing)} given for {kind}; need "
                            "every parameter and buffer, or strict=False")  # fmt: skip


__all__ = ["functional_call", "stack_modules"]
