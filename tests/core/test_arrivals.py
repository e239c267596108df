"""Being told of an import."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import ambos as am
from ambos.core.arrivals import also_at, on_import


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "guest_package").mkdir()
    (tmp_path / "guest_package" / "__init__.py").write_text("")
    (tmp_path / "guest_package" / "inner.py").write_text("there = 'yes'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    for name in ("guest_package", "guest_package.inner"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "guest_package.inner"


def test_once_it_is_imported_and_once_only(guest: str) -> None:
    found: list[str] = []
    finders = len(sys.meta_path)
    on_import(guest, lambda: found.append(sys.modules[guest].there))
    importlib.import_module("guest_package")
    assert found == []
    module = importlib.import_module(guest)
    assert found == ["yes"]
    assert len(sys.meta_path) == finders
    importlib.reload(module)
    assert found == ["yes"]
    on_import(guest, lambda: found.append("at once"))
    assert found == ["yes", "at once"]
    assert module.__loader__.get_source(guest) == "there = 'yes'\n"


def test_a_module_that_is_not_there_is_missing_as_before(guest: str) -> None:
    on_import("guest_package.nowhere", lambda: pytest.fail("there is no such module"))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("guest_package.nowhere")


def test_a_module_under_a_second_name(guest: str) -> None:
    also_at({"guest_package.other": guest})
    importlib.import_module("guest_package")
    assert guest not in sys.modules
    found = importlib.import_module("guest_package.other")
    assert found is importlib.import_module(guest) is sys.modules["guest_package"].other
    assert found.__name__ == found.__spec__.name == guest
    assert importlib.reload(found).there == "yes"
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("guest_package.another")


def test_places_of_torch_are_imported_as_there() -> None:
    for name in ("fft", "linalg", "func", "autograd", "special", "optim.swa_utils"):
        module = importlib.import_module(f"ambos.{name}")
        found = am.optim.swa_utils if "." in name else getattr(am, name)
        assert module is found
    with pytest.raises(AttributeError, match=r"Did you mean 'swa_utils'"):
        _ = am.optim.swa_util
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("ambos.optim.swa_util")
