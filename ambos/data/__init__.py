"""Examples: batching in memory, and the handwritten digits that ship with the package."""

from typing import TYPE_CHECKING

from ambos.core.arguments import answering
from ambos.data.dataset import ArrayDataset, Dataset, TensorDataset
from ambos.data.digits import digits
from ambos.data.loader import DataLoader

__all__ = ["ArrayDataset", "DataLoader", "Dataset", "TensorDataset", "digits"]

if not TYPE_CHECKING:  # a type checker knows the names, and would take this for any name
    __getattr__ = answering(__name__, __all__)
