"""What losses share: a reduction that is checked when they are made, and weights as buffers."""

from __future__ import annotations

from typing import Any, ClassVar

from ambos.nn.functional.shared import check_reduction
from ambos.nn.module import Module
from ambos.tensor.handle import Tensor


class Loss(Module):
    """Base of the losses, each of which has a setting `reduction`, the last one in most."""

    reduction: str
    more: ClassVar[tuple[str, ...]] = ()  # reductions besides "mean", "sum" and "none"
    tensors: ClassVar[tuple[str, ...]] = ("weight", "pos_weight")  # settings that are buffers

    def __post_init__(self) -> None:
        check_reduction(type(self).__name__, self.reduction, *self.more)
        for name in self.tensors:
            if name in self.__dict__ or name in self._parameters:
                given: Any = getattr(self, name)
                delattr(self, name)  # the setting makes way for the buffer of its name
                self.register_buffer(name, None if given is None else Tensor(given).detach())

    def extra_repr(self) -> str:
        return ""
