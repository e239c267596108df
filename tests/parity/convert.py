"""From PyTorch's arguments to ours, and from results to lists that can be compared."""

from typing import Any

import numpy as np
import torch

import ambos as am
from ambos.core.dtype import as_dtype

# Where a tensor lies in memory is nobody's argument here.
DROPPED = ("device", "layout", "memory_format", "pin_memory", "non_blocking")


class Translation:
    """Arguments of ours for those of a sample; one torch tensor becomes one tensor of ours."""

    def __init__(self, sample: Any) -> None:
        self.known: dict[int, tuple[torch.Tensor, am.Tensor]] = {}
        self.input = self(sample.input)
        self.args = tuple(self(value) for value in sample.args)
        self.kwargs = {k: self(v) for k, v in sample.kwargs.items() if k not in DROPPED}

    def leaves(self) -> list[tuple[torch.Tensor, am.Tensor]]:
        """The tensors that ask for gradients, theirs and ours."""
        return [pair for pair in self.known.values() if pair[0].requires_grad]

    def __call__(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, torch.dtype):
            return as_dtype(str(value).removeprefix("torch."))
        if isinstance(value, (torch.device, torch.layout, torch.memory_format)):
            return None
        if isinstance(value, dict):
            return {key: self(v) for key, v in value.items()}
        if isinstance(value, (tuple, list)):
            items = [self(v) for v in value]
            return items if isinstance(value, list) else tuple(items)
        if isinstance(value, np.number):
            return value.item()
        if isinstance(value, torch.nn.PairwiseDistance):  # a distance that the caller chooses
            return am.pairwise_distance
        return value

    def _tensor(self, value: torch.Tensor) -> am.Tensor:
        if id(value) not in self.known:
            found = from_torch(value)
            if value.requires_grad:
                found.requires_grad_()
            self.known[id(value)] = value, found
        return self.known[id(value)][1]


def from_torch(value: torch.Tensor) -> am.Tensor:
    """A tensor of ours with the same values."""
    array = value.detach().resolve_conj().resolve_neg().cpu()
    if array.dtype is torch.bfloat16:  # which NumPy lacks
        return am.tensor(array.float().numpy()).astype(am.bfloat16)
    if array.ndim > 64:  # more than NumPy has
        return am.tensor(array.flatten().numpy()).reshape(tuple(array.shape))
    return am.tensor(array.numpy())


def flat(result: Any) -> list[Any]:
    """The tensors and numbers of a result in order, whatever nest they are in."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (tuple, list)) and not isinstance(result, torch.Size):
        return [leaf for part in result for leaf in flat(part)]
    return [result]


def array_of(value: Any) -> Any:
    """A tensor of either side as a NumPy array (bfloat16 as float32)."""
    if isinstance(value, torch.Tensor):
        value = value.detach().resolve_conj().resolve_neg()
        # `force`: a gradient that nobody computed is zeros without memory.
        return (value.float() if value.dtype is torch.bfloat16 else value).numpy(force=True)
    return value.astype(am.float32).numpy() if value.dtype is am.bfloat16 else value.numpy()


def dtype_name(value: Any) -> str:
    """The name of a tensor's dtype, the same for both sides."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype).removeprefix("torch.")
    return str(value.dtype.name)
