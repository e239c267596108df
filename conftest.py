"""What every test and doctest shares: a fresh kernel cache, few threads for the oracles, the same
examples each time.

Environment variables are set before ambos and the oracles are imported, because all of them read
their settings once.
"""

import gc
import importlib
import os
import shutil
import signal
import tempfile

import pytest
from hypothesis import HealthCheck, settings

# A cache of its own: an entry left by an older compiler can neither hide a bug nor cause one, and
# the user's cache stays as it is. Workers of pytest-xdist inherit the directory.
_OWN_CACHE = "PYTEST_XDIST_WORKER" not in os.environ
if _OWN_CACHE:
    os.environ["AMBOS_CACHE"] = tempfile.mkdtemp(prefix="ambos-test-cache-")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

# What a shell starts in the background ignores Ctrl-C, and tests of it would wait for ever.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples at every run: a red test must be red again when somebody looks.
settings.register_profile(
    "ambos",
    derandomize=True,
    deadline=None,  # no test is timed
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("ambos")

# Before pytest imports a module of it by its path, which would begin with the room: `ambos.tensor`
# would then be that in place of the function.
importlib.import_module("ambos")

pytest_plugins = ["tests.durations"]

gc.disable()  # while millions of objects are made that stay


def pytest_collection_finish() -> None:
    """The oracles and 17,000 collected tests need not be gone through again."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Nor what a file leaves, modules imported meanwhile among it: a collection in a test costs
    milliseconds then, in place of a second."""
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    if _OWN_CACHE:
        shutil.rmtree(os.environ["AMBOS_CACHE"], ignore_errors=True)
