"""Plans on disk: what planning a graph came to, for the next process that meets the same graph.

Machine code is cached a kernel at a time and serves any graph; a plan (launches, argument words,
the arena) belongs to one graph on one processor. Planning a ResNet's training step takes Python
some hundred milliseconds, reading its plan a few. A plan lies next to the machine code and is
trusted like it: whoever can write there can run code here.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, TypeVar

from ambos.core.config import config
from ambos.runtime.cache import Cache
from ambos.runtime.machine import host_features

T = TypeVar("T")
_caches: dict[str, Cache] = {}


def recall(what: str, key: Any, make: Callable[[], T], anew: bool = False) -> T:
    """What `make()` returned for this key in an earlier process, or returns now.

    `key` is told from others by its repr, which has to say everything. `anew`: what is stored did
    not serve.
    """
    name = _name(what, key)
    cache = _cache()
    if name and not anew:
        stored = cache.read(name)
        if stored is not None:
            try:
                found: T = pickle.loads(stored)
                return found
            except Exception:  # whatever an intact file of another world raises: plan again
                pass
    made = make()
    if name:  # the smallest, too: one that is missing makes a warm start load the compiler
        cache.write(name, pickle.dumps(made, pickle.HIGHEST_PROTOCOL))
    return made


def _name(what: str, key: Any) -> str:
    """The file's name, or "" where nothing is to be stored."""
    if config.debug:  # which shows what the compiler does, so it has to do it
        return ""
    text = repr(key)
    if " at 0x" in text:  # an object that does not say what it is: another may have its address
        return ""
    return f"{what}-{blake2b(text.encode(), digest_size=16).hexdigest()}"


def _cache() -> Cache:
    """Plans hold for one processor: its caches choose blocks, not only its instructions."""
    features = repr(host_features())
    cache = _caches.get(features)
    if cache is None:
        cache = _caches[features] = Cache(f"plans|{sys.version}|{features}")
    return cache
