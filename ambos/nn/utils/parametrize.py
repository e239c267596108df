"""Tensors of a module computed from others: `register_parametrization`, under PyTorch's names.

The module's own tensor makes way for `module.parametrizations.<name>`, which holds what is trained
(`original`, or `original0` and so on) and the modules that make the tensor of it. Reading
`module.<name>` calls them (`Module.__getattr__`), setting it goes the other way. Since tensors are
expressions, reading a tensor many times computes it once: there is nothing to cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ambos.core.errors import ArgumentError, ShapeError, UnknownNameError, suggest
from ambos.nn.container import ModuleDict, ModuleList
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter, assign
from ambos.tensor.handle import Tensor
from ambos.tensor.modes import no_grad


class ParametrizationList(ModuleList):
    """The modules that make one tensor, one after the other, and what they make it of.

    Example:
        >>> from ambos import nn
        >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
        >>> [name for name, _ in layer.parametrizations.weight.named_parameters()]
        ['original0', 'original1']
    """

    def __init__(self, modules: Any, original: Tensor, unsafe: bool = False) -> None:
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            made: Any = original
            for module in reversed([*self]):
                inverse = getattr(module, "right_inverse", None)
                made = made if inverse is None else inverse(made)
        self.is_tensor = isinstance(made, Tensor)
        self.ntensors = 1 if self.is_tensor else len(made)
        if self.is_tensor:
            self._keep("original", original, made)
        else:
            for number, part in enumerate(made):
                self._keep(f"original{number}", original, part)
        if not unsafe:
            self._check(original)

    def _keep(self, name: str, like: Tensor, value: Tensor) -> None:
        value = value.detach()
        if not isinstance(like, Parameter):
            self.register_buffer(name, value)
        elif name == "original":  # the same object, which an optimizer may hold
            assign(like, value)
            self.register_parameter(name, like)
        else:
            self.register_parameter(name, Parameter(value, like.requires_grad))

    def _check(self, original: Tensor) -> None:
        with no_grad():
            made = self()
        if made.shape != original.shape or made.dtype is not original.dtype:
            raise ShapeError(
                f"register_parametrization: makes {made.dtype.name}{tuple(made.shape)} of a tensor "
                f"{original.dtype.name}{tuple(original.shape)}; need the same, or unsafe=True"
            )

    def originals(self) -> tuple[Tensor, ...]:
        """What is trained."""
        names = [f"original{n}" for n in range(self.ntensors)]
        return tuple(getattr(self, name) for name in (["original"] if self.is_tensor else names))

    def forward(self) -> Any:
        """The tensor."""
        first, *others = self
        made = first(*self.originals())
        for module in others:
            made = module(made)
        return made

    def right_inverse(self, value: Tensor) -> None:
        """Take over `value`, as far as it can be made."""
        with no_grad():
            made: Any = value
            for module in reversed([*self]):
                inverse = getattr(module, "right_inverse", None)
                if inverse is None:
                    raise ArgumentError(
                        f"{type(module).__name__}: has no right_inverse; need one to set the "
                        "tensor that it makes"
                    )
                made = inverse(made)
            parts = (made,) if self.is_tensor else made
            for own, part in zip(self.originals(), parts, strict=True):
                assign(own, part)


class Parametrizations(ModuleDict):
    """The tensors of a module that are computed, by name (`module.parametrizations`).

    Example:
        >>> from ambos import nn
        >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
        >>> [*layer.parametrizations]
        ['weight']
    """

    makes_tensors = True

    def _get_name(self) -> str:
        return "ModuleDict"  # as in PyTorch


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Compute `module.<tensor_name>` by `parametrization` from now on; several are applied one
    after the other. A method `right_inverse` of it gives what is trained; without one that is the
    tensor as it was. `unsafe` allows another shape or dtype.

    Errors: UnknownNameError for a tensor that the module lacks; ShapeError for another shape.

    Example:
        >>> import ambos as am
        >>> class Symmetric(am.nn.Module):
        ...     def forward(self, x):
        ...         return x.triu() + x.triu(1).T
        >>> layer = am.nn.utils.parametrize.register_parametrization(
        ...     am.nn.Linear(3, 3), "weight", Symmetric()
        ... )
        >>> [name for name, _ in layer.named_parameters()]
        ['bias', 'parametrizations.weight.original']
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        several = _list_of(module, tensor_name)
        before = getattr(module, tensor_name)
        new = ParametrizationList([parametrization], before.detach(), unsafe)
        if not new.is_tensor:
            raise ArgumentError(
                f"register_parametrization: {type(parametrization).__name__} makes one tensor of "
                "several; need it to be the first"
            )
        several.append(parametrization)  # what is trained stays: the tensor is another from now on
        return module
    known = {**module._parameters, **module._buffers}
    original = known.get(tensor_name)
    if original is None:
        raise UnknownNameError(
            f"register_parametrization: {type(module).__name__} has no parameter or buffer "
            f"{tensor_name!r}{suggest(tensor_name, known)}"
        )
    made = ParametrizationList([parametrization], original, unsafe)
    delattr(module, tensor_name)
    if "parametrizations" not in module._modules:
        module.add_module("parametrizations", Parametrizations())
    _dict_of(module)[tensor_name] = made
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Is this tensor of the module computed; is any?

    Example:
        >>> from ambos import nn
        >>> nn.utils.parametrize.is_parametrized(nn.Linear(2, 3))
        False
    """
    found = module._modules.get("parametrizations")
    if not isinstance(found, Parametrizations):
        return False
    return tensor_name in found if tensor_name is not None else len(found) > 0


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make the tensor an ordinary one again, with the numbers that it has, or (without
    `leave_parametrized`) those that it was computed of.

    Errors: ArgumentError for a tensor that is not computed, or was computed of several.

    Example:
        >>> from ambos import nn
        >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
        >>> layer = nn.utils.parametrize.remove_parametrizations(layer, "weight")
        >>> layer, [name for name, _ in layer.named_parameters()]
        (Linear(in_features=2, out_features=3, bias=True), ['bias', 'weight'])
    """
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(
            f"remove_parametrizations: {type(module).__name__}.{tensor_name} is not parametrized"
        )
    several = _list_of(module, tensor_name)
    if not leave_parametrized and not several.is_tensor:
        raise ArgumentError(
            f"remove_parametrizations: {tensor_name} is made of {several.ntensors} tensors; need "
            "leave_parametrized=True"
        )
    original = several.originals()[0]
    value = getattr(module, tensor_name).detach() if leave_parametrized else original.detach()
    is_trained = isinstance(original, Parameter)
    requires_grad = any(part.requires_grad for part in several.originals())
    del _dict_of(module)[tensor_name]
    if not _dict_of(module):
        del module._modules["parametrizations"]
        module._changed()
    if is_trained and several.is_tensor:  # the same object, which an optimizer may hold
        assign(original, value)
        module.register_parameter(tensor_name, several._parameters["original"])
    elif is_trained:
        module.register_parameter(tensor_name, Parameter(value, requires_grad))
    else:
        module.register_buffer(tensor_name, value)
    return module


@contextmanager
def cached() -> Iterator[None]:
    """Nothing to do: a tensor that is read many times is computed once in any case.

    Example:
        >>> from ambos import nn
        >>> with nn.utils.parametrize.cached():
        ...     pass
    """
    yield


def _dict_of(module: Module) -> Parametrizations:
    found: Any = module._modules["parametrizations"]
    made: Parametrizations = found
    return made


def _list_of(module: Module, name: str) -> ParametrizationList:
    found: Any = _dict_of(module)[name]
    made: ParametrizationList = found
    return made


__all__ = [
    "ParametrizationList", "Parametrizations", "cached", "is_parametrized",
    "register_parametrization", "remove_parametrizations",
]  # fmt: skip
