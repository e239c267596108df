"""Memory stays flat for some of the public functions; `make leaks` takes all, with more calls."""

from __future__ import annotations

import gc
import mmap
import sys

import pytest

from tests.public.leaks import SITUATIONS, growth, leak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module", autouse=True)
def _set_aside() -> None:
    """What is there before is no leak: the collector, which is asked often, can leave it out."""
    gc.collect()
    gc.freeze()


@pytest.mark.parametrize("name", ["add", "matmul", "sort", "linalg.inv", "nn.functional.relu"])
def test_calls_and_refusals_keep_nothing(name: str) -> None:
    assert leak(name, calls=60) == 0


def test_gradients_keep_nothing() -> None:
    assert growth(SITUATIONS["a gradient"], calls=60) == 0


def test_a_leak_is_found() -> None:
    kept: list[mmap.mmap] = []

    def keep() -> None:  # pages of its own: what malloc gives may have been freed before
        kept.append(mmap.mmap(-1, 20_480))
        kept[-1].write(bytes(20_480))

    assert growth(keep, calls=60) > 10_000
