"""einops works on tensors: `einops.rearrange(x, "b c h w -> b (h w) c")`.

einops finds its backends among the subclasses of its own class, so one has to be declared when
einops is there. `ambos` asks for that (`core/arrivals.py`) and never imports einops itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from ambos.tensor import creation, joining, linear, movement, reductions
from ambos.tensor.handle import Tensor

declared: list[type] = []  # einops finds classes that somebody holds


def register(layers: str) -> None:
    """Declare the backend; `layers` names the module with `Rearrange`, `Reduce` and `EinMix`."""
    from einops._backends import AbstractBackend

    class Backend(AbstractBackend):
        """What einops asks of a framework."""

        framework_name = "ambos"

        def is_appropriate_type(self, tensor: Any) -> bool:
            return isinstance(tensor, Tensor)

        def from_numpy(self, x: Any) -> Tensor:
            found = creation.tensor(x)
            return found.requires_grad_() if self.is_float_type(found) else found

        def to_numpy(self, x: Tensor) -> Any:
            return x.detach().numpy()

        def arange(self, start: int, stop: int) -> Tensor:
            return creation.arange(start, stop)

        def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
            return movement.reshape(x, tuple(shape))

        def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
            return movement.permute(x, tuple(axes))

        def reduce(self, x: Tensor, operation: str, axes: Sequence[int]) -> Tensor:
            found: Tensor = getattr(reductions, operation)(x, axis=tuple(axes))
            return found

        def stack_on_zeroth_dimension(self, tensors: Sequence[Tensor]) -> Tensor:
            return joining.stack(tensors)

        def add_axis(self, x: Tensor, new_position: int) -> Tensor:
            return movement.unsqueeze(x, new_position)

        def add_axes(self, x: Tensor, n_axes: int, pos2len: Mapping[int, int]) -> Tensor:
            for position in sorted(pos2len):
                x = movement.unsqueeze(x, position)
            return movement.broadcast_to(x, [pos2len.get(i, n) for i, n in enumerate(x.shape)])

        def tile(self, x: Tensor, repeats: Sequence[int]) -> Tensor:
            return movement.tile(x, tuple(repeats))

        def concat(self, tensors: Sequence[Tensor], axis: int) -> Tensor:
            return joining.concat(tensors, axis)

        def is_float_type(self, x: Tensor) -> bool:
            return x.dtype.is_floating

        def layers(self) -> Any:
            return import_module(layers)

        def einsum(self, pattern: str, *x: Tensor) -> Tensor:
            return linear.einsum(pattern, *x)

    declared.append(Backend)
