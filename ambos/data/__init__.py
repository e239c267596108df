"""Examples: batching in memory, and the handwritten digits that ship with the package."""

from ambos.data.dataset import ArrayDataset, Dataset, TensorDataset
from ambos.data.digits import digits
from ambos.data.loader import DataLoader

__all__ = ["ArrayDataset", "DataLoader", "Dataset", "TensorDataset", "digits"]
