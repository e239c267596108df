"""Loaders: batches of arrays in memory, and JPEGs decoded and augmented by worker processes.

A call is one epoch; what it returns is a sum over all batches. Both sides decode with Pillow and
augment with NumPy, and keep their workers from epoch to epoch.
"""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np

from bench.workload import Call, Case, Data, integers, normal

SIZE, CROP, IMAGES = 256, 224, 192


@cache
def jpegs() -> list[bytes]:
    """Smooth random pictures, compressed as photographs are."""
    from PIL import Image

    found = []
    for number in range(IMAGES):
        coarse = integers(number, 256, SIZE // 8, SIZE // 8, 3).astype(np.uint8)
        picture = Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=90)
        found.append(file.getvalue())
    return found


class Pictures:
    """Decoded, cropped, flipped and scaled; the place of the crop follows from the number."""

    def __init__(self, files: list[bytes]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        from PIL import Image

        pixels = np.asarray(Image.open(io.BytesIO(self.files[index])).convert("RGB"))
        top, left = 7 * index % (SIZE - CROP), 11 * index % (SIZE - CROP)
        pixels = pixels[top : top + CROP, left : left + CROP]
        if index % 2:
            pixels = pixels[:, ::-1]
        return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / np.float32(255), index


class TorchPictures(Pictures):
    """The same as tensors of PyTorch."""

    def __getitem__(self, index: int) -> Any:
        import torch

        pixels, number = super().__getitem__(index)
        return torch.from_numpy(pixels), number


class Epoch(Case):
    """One epoch with workers; nothing is done with the batches but to look at a corner."""

    threads = (2,)
    tolerance = 1e-6
    patience = 120.0

    def __init__(self, workers: int, batch_size: int = 32) -> None:
        self.name = f"jpeg-{workers}"
        self.title = f"{IMAGES} JPEGs decoded and augmented, {workers} workers, batch {batch_size}"
        self.workers, self.batch_size = workers, batch_size
        self.steps = IMAGES // batch_size

    def settings(self) -> dict[str, Any]:
        """What both loaders are asked for."""
        return {"batch_size": self.batch_size, "num_workers": self.workers, "shuffle": False,
                "persistent_workers": True, "prefetch_factor": 2}  # fmt: skip

    def with_ambos(self, data: Data) -> Call:
        from ambos.data import DataLoader

        loader = DataLoader(Pictures(jpegs()), **self.settings())
        return lambda: _looked_at((x.numpy(), y.numpy()) for x, y in loader)

    def with_torch(self, data: Data) -> Call:
        from torch.utils.data import DataLoader

        loader: Any = DataLoader(TorchPictures(jpegs()), **self.settings())
        return lambda: _looked_at((x.numpy(), y.numpy()) for x, y in loader)


def _looked_at(batches: Any) -> float:
    return float(sum(np.dot(x[:, 0, 0, 0], y) + x[-1, 2, -1, -1] for x, y in batches))


class Rows(Case):
    """One shuffled epoch of arrays in memory: what a loader itself costs for each batch."""

    name = "rows-32"
    title = "60,000 rows of 32 numbers, shuffled, batch 32"
    steps = 60_000 // 32
    threads = (1,)
    tolerance = 1e-6

    def data(self) -> Data:
        return {"x": normal(0, 60_000, 32), "y": integers(1, 10, 60_000)}

    def with_ambos(self, data: Data) -> Call:
        from ambos.data import DataLoader

        loader = DataLoader((data["x"], data["y"]), batch_size=32, shuffle=True, seed=0)
        return lambda: float(sum(len(y) for _, y in loader))

    def with_torch(self, data: Data) -> Call:
        import torch
        from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

        arrays = TensorDataset(torch.from_numpy(data["x"]), torch.from_numpy(data["y"]))
        # Lists of indices as the sampler make the dataset gather a batch at once: the fastest way.
        batches = BatchSampler(RandomSampler(arrays), 32, drop_last=False)
        loader: Any = DataLoader(arrays, sampler=batches, batch_size=None)
        return lambda: float(sum(len(y) for _, y in loader))


CASES: list[Case] = [Rows(), Epoch(2)]
