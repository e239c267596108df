"""Settings from the environment, read once at import; tests may assign to `config`'s fields."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


def _cache_dir() -> Path:
    explicit = os.environ.get("AMBOS_CACHE")
    if explicit:
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ambos"


def _threads() -> int:
    asked = os.environ.get("AMBOS_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(slots=True)
class Config:
    """AMBOS_DEBUG (0..7), AMBOS_FUSE (0 or 1), AMBOS_THREADS, AMBOS_CACHE, AMBOS_CPU."""

    debug: int = field(default_factory=lambda: int(os.environ.get("AMBOS_DEBUG") or 0))
    fuse: bool = field(default_factory=lambda: os.environ.get("AMBOS_FUSE", "1") != "0")
    threads: int = field(default_factory=_threads)
    cache_dir: Path = field(default_factory=_cache_dir)
    cpu: str = field(default_factory=lambda: os.environ.get("AMBOS_CPU", "native"))


config = Config()
