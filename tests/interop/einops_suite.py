"""einops' own test suite with our backend: `make einops`.

A plugin of pytest. The suite has a list of the backends that it tests; ours joins it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

import ambos

os.environ["EINOPS_TEST_BACKENDS"] = "ambos"


def pytest_configure(config: pytest.Config) -> None:
    import einops.tests
    from einops import _backends

    del config

    def collect(symbolic: bool = False, layers: bool = False) -> list[Any]:
        del layers  # it has them
        return [] if symbolic else [_backends.get_backend(ambos.zeros(1))]

    einops.tests.collect_test_backends = collect


if __name__ == "__main__":
    import einops

    suite = Path(einops.__file__).parent / "tests"
    options = ["-p", "tests.interop.einops_suite", "-c", os.devnull, "-p", "no:cacheprovider"]
    sys.exit(pytest.main([*options, *sys.argv[1:], str(suite)]))
