"""What a worker process knows of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class WorkerInfo:
    """A worker of a DataLoader: number `id` of `num_workers`, its seed and its dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any
    asked: bool = False  # has the dataset asked for this, to share the work by itself?


_current: WorkerInfo | None = None


def enter(info: WorkerInfo) -> None:
    """This process is a worker from now on."""
    global _current
    _current = info


def get_worker_info() -> WorkerInfo | None:
    """Which worker this process is, or None in the process of the loader (PyTorch's function).

    Example:
        >>> get_worker_info() is None
        True
    """
    if _current is not None:
        _current.asked = True
    return _current


def has_asked() -> bool:
    """Has the dataset of this worker asked, and so shares the work by itself?"""
    return _current is not None and _current.asked
