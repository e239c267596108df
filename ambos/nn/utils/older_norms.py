"""`weight_norm` and `spectral_norm` as they were before there were parametrizations.

What is trained stands in the module itself (`weight_g` and `weight_v`; `weight_orig`), and the
weight is computed of it where it is read. Checkpoints of many networks have these names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError, UnknownNameError, suggest
from ambos.core.shape import normalize_axis
from ambos.nn.functional import normalize
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter
from ambos.nn.transposed import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ambos.nn.utils.parametrizations import length_of
from ambos.tensor import random
from ambos.tensor.handle import Tensor
from ambos.tensor.modes import no_grad

Layer = TypeVar("Layer", bound=Module)


class Computed:
    """How a tensor of a module is computed whenever it is read (`Module.__getattr__`)."""

    kind = ""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, module: Any) -> Tensor:
        """The tensor."""
        raise NotImplementedError

    @classmethod
    def taken_from(cls, module: Module, name: str) -> Any:
        """The parameter that is to be computed from now on."""
        if name in module.__dict__.get("_computed", {}):
            raise ArgumentError(f"{cls.kind}: {type(module).__name__}.{name} has one already")
        found = module._parameters.get(name)
        if found is None:
            raise UnknownNameError(f"{cls.kind}: {type(module).__name__} has no parameter {name!r}"
                                   f"{suggest(name, module._parameters)}")  # fmt: skip
        return found

    def install(self, module: Module) -> None:
        """Compute the tensor from now on; no parameter hides that."""
        delattr(module, self.name)
        module.__dict__.setdefault("_computed", {})[self.name] = self

    def refuse(self, module: Module) -> None:
        """Nothing may hide that the tensor is computed: it would be trained beside its parts."""
        raise ArgumentError(
            f"{type(module).__name__}.{self.name}: is computed by {self.kind}; need its parts set "
            f"({self.name}_...), or nn.utils.remove_{self.kind}(module) before"
        )

    @classmethod
    def removed_from(cls, module: Module, name: str, parts: Sequence[str]) -> None:
        """Make the tensor a parameter again, in the place of the parts that it is computed of."""
        found = module.__dict__.get("_computed", {}).get(name)
        if type(found) is not cls:
            raise ArgumentError(
                f"remove_{cls.kind}: {type(module).__name__}.{name} has none; need "
                f"{cls.kind}(module) before it"
            )
        with no_grad():
            value = found(module)
        del module.__dict__["_computed"][name]
        for part in parts:
            delattr(module, f"{name}_{part}")
        module.register_parameter(name, Parameter(value.detach()))


class WeightNorm(Computed):
    """Length times direction."""

    kind = "weight_norm"

    def __init__(self, name: str, dim: int | None) -> None:
        super().__init__(name)
        self.dim = dim

    def __call__(self, module: Any) -> Tensor:
        g, v = (getattr(module, f"{self.name}_{part}") for part in "gv")
        made: Tensor = v * (g / length_of(v, self.dim))
        return made


def weight_norm(module: Layer, name: str = "weight", dim: int | None = 0) -> Layer:
    """Train length (`weight_g`) and direction (`weight_v`) of the vectors along `dim` apart; new
    code has `nn.utils.parametrizations.weight_norm`.

    Errors: UnknownNameError for a parameter that the module lacks; ArgumentError the second time.

    Example:
        >>> from ambos import nn
        >>> [name for name, _ in nn.utils.weight_norm(nn.Linear(2, 3)).named_parameters()]
        ['bias', 'weight_g', 'weight_v']
    """
    weight = WeightNorm.taken_from(module, name)
    with no_grad():
        length = length_of(weight, dim)
    module.register_parameter(f"{name}_g", Parameter(length.detach()))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    WeightNorm(name, dim).install(module)
    return module


def remove_weight_norm(module: Layer, name: str = "weight") -> Layer:
    """The weight as a parameter, as it is computed now.

    Errors: ArgumentError for a module without it.

    Example:
        >>> from ambos import nn
        >>> layer = nn.utils.remove_weight_norm(nn.utils.weight_norm(nn.Linear(2, 3)))
        >>> [name for name, _ in layer.named_parameters()]
        ['bias', 'weight']
    """
    WeightNorm.removed_from(module, name, "gv")
    return module


class SpectralNorm(Computed):
    """Divided by the largest singular value, which power iteration follows in training."""

    kind = "spectral_norm"

    def __init__(self, name: str, count: int, eps: float, dim: int) -> None:
        super().__init__(name)
        self.count, self.eps, self.dim = count, eps, dim

    def matrix(self, weight: Tensor) -> Tensor:
        """The weight with what `dim` counts as rows."""
        return weight.movedim(self.dim, 0).flatten(1)

    def iterate(self, module: Any) -> None:
        """Follow the singular vectors."""
        with no_grad():
            matrix = self.matrix(getattr(module, f"{self.name}_orig"))
            u, v = (getattr(module, f"{self.name}_{part}") for part in "uv")
            rows, columns = u, v
            for _ in range(self.count):
                columns = normalize(matrix.T @ rows, dim=0, eps=self.eps)
                rows = normalize(matrix @ columns, dim=0, eps=self.eps)
            u.data, v.data = rows, columns

    def __call__(self, module: Any) -> Tensor:
        weight: Tensor = getattr(module, f"{self.name}_orig")
        u, v = (getattr(module, f"{self.name}_{part}").detach() for part in "uv")
        return weight / (u * (self.matrix(weight) @ v)).sum()


class Iteration:
    """A hook before every forward in training; a class, so that modules can be pickled."""

    def __init__(self, of: SpectralNorm) -> None:
        self.of = of

    def __call__(self, module: Any, *_: Any) -> None:
        if module.training:
            self.of.iterate(module)


def spectral_norm(
    module: Layer,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Layer:
    """Divide a weight (`weight_orig`) by its largest singular value; new code has
    `nn.utils.parametrizations.spectral_norm`.

    Errors: UnknownNameError for a parameter that the module lacks; ArgumentError the second time.

    Example:
        >>> from ambos import nn
        >>> [*nn.utils.spectral_norm(nn.Linear(2, 3)).state_dict()]
        ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    weight = SpectralNorm.taken_from(module, name)
    if dim is None:
        turned = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
        dim = 1 if isinstance(module, turned) else 0
    count = positive("spectral_norm: n_power_iterations", n_power_iterations)
    hook = SpectralNorm(name, count, eps, normalize_axis("spectral_norm", dim, weight.ndim))
    module.register_parameter(f"{name}_orig", weight)
    for part, size in zip("uv", hook.matrix(weight.detach()).shape, strict=True):
        drawn = random.normal(None, (size,), dtype=weight.dtype)
        module.register_buffer(f"{name}_{part}", normalize(drawn, dim=0, eps=eps))
    hook.install(module)
    module.register_forward_pre_hook(Iteration(hook))
    return module


def remove_spectral_norm(module: Layer, name: str = "weight") -> Layer:
    """The weight as a parameter, as it is computed now.

    Errors: ArgumentError for a module without it.

    Example:
        >>> from ambos import nn
        >>> layer = nn.utils.remove_spectral_norm(nn.utils.spectral_norm(nn.Linear(2, 3)))
        >>> [*layer.state_dict()]
        ['bias', 'weight']
    """
    SpectralNorm.removed_from(module, name, ("orig", "u", "v"))
    for number, hook in [*module._hooks.items()]:
        if isinstance(hook.call, Iteration) and hook.call.of.name == name:
            del module._hooks[number]
    return module
