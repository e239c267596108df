"""Settings from the environment: what is read, and what is refused."""

from __future__ import annotations

import pytest

from ambos.core.config import Config
from ambos.core.errors import ArgumentError


@pytest.mark.parametrize(("variable", "value", "allowed"), [
    ("AMBOS_DEBUG", "zz", "one of 0..7"), ("AMBOS_DEBUG", "8", "one of 0..7"),
    ("AMBOS_THREADS", "abc", "an integer of at least 1"),
    ("AMBOS_THREADS", "0", "an integer of at least 1"),
    ("AMBOS_THREADS", "-1", "an integer of at least 1"),
    ("AMBOS_FUSE", "maybe", "one of 0..1"), ("AMBOS_FUSE", "2", "one of 0..1"),
])  # fmt: skip
def test_a_bad_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, allowed: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(
        ArgumentError, match=f"{variable}: is '{value}'; need {allowed}.*test_config.py"
    ):
        Config()


def test_good_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {"DEBUG": "7", "THREADS": "3", "FUSE": "0"}.items():
        monkeypatch.setenv(f"AMBOS_{variable}", value)
    found = Config()
    assert (found.debug, found.threads, found.fuse) == (7, 3, False)
    for variable in ("DEBUG", "THREADS", "FUSE"):
        monkeypatch.setenv(f"AMBOS_{variable}", "")
    found = Config()
    assert (found.debug, found.fuse) == (0, True)
    assert found.threads >= 1
