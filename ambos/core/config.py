"""Settings from the environment, read once at import; tests may assign to `config`'s fields."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from ambos.core.errors import ArgumentError


def _cache_dir() -> Path:
    explicit = os.environ.get("AMBOS_CACHE")
    if explicit:
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ambos"


def number(variable: str, default: int, least: int, most: int | None = None) -> int:
    """The integer that an environment variable holds, or `default` where it is unset or empty."""
    asked = os.environ.get(variable, "").strip()
    if not asked:
        return default
    if asked.isascii() and asked.isdigit() and least <= int(asked) <= (most or int(asked)):
        return int(asked)
    allowed = f"an integer of at least {least}" if most is None else f"one of {least}..{most}"
    raise ArgumentError(f"{variable}: is {asked!r}; need {allowed}, or leave it unset")


def _threads() -> int:
    return number("AMBOS_THREADS", 0, 1) or _processors()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(slots=True)
class Config:
    """AMBOS_DEBUG (0..7), AMBOS_FUSE (0 or 1), AMBOS_THREADS, AMBOS_CACHE, AMBOS_CPU,
    AMBOS_FLUSH_DENORMAL (0 or 1)."""

    debug: int = field(default_factory=lambda: number("AMBOS_DEBUG", 0, 0, 7))
    fuse: bool = field(default_factory=lambda: number("AMBOS_FUSE", 1, 0, 1) == 1)
    threads: int = field(default_factory=_threads)
    cache_dir: Path = field(default_factory=_cache_dir)
    cpu: str = field(default_factory=lambda: os.environ.get("AMBOS_CPU", "native"))
    flush_denormal: bool = field(
        default_factory=lambda: number("AMBOS_FLUSH_DENORMAL", 0, 0, 1) == 1
    )


config = Config()
