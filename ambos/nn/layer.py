"""`@layer`: a layer whose constructor only takes settings states each of them once, as a field.

    @layer
    class Softplus(Module):
        beta: float = 1.0
        threshold: float = 20.0

        def forward(self, input: Tensor) -> Tensor:
            return F.softplus(input, self.beta, self.threshold)

That is its signature (in PyTorch's order), its attributes and what `repr` shows. Editors and type
checkers read the fields as they read a dataclass's; what a layer checks or makes of its settings
is in `__post_init__`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

from ambos.nn.module import Module

Sizes = int | Sequence[int]
Some = TypeVar("Some", bound=Module)


@dataclass_transform(eq_default=False)
def layer(cls: type[Some]) -> type[Some]:
    """Give a class of layers the constructor of its fields, and a repr of them.

    What `inplace` says is shown where it was asked for only: here values never alias.

    Example:
        >>> @layer
        ... class Scale(Module):
        ...     factor: float = 2.0
        >>> Scale(), Scale(factor=3.0).factor
        (Scale(factor=2.0), 3.0)
    """
    made = dataclass(eq=False, repr=False, match_args=False)(cls)
    # Fields live in objects only: a default in the class would hide a parameter of that name.
    for name in made.__init__.__annotations__:
        if name in vars(made):
            delattr(made, name)
    return made
