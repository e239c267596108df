"""Promises of the project as a whole: what an import costs, sizes, maps and commands."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ambos"
ROOMS = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))
SOURCES = sorted(p for room in ("ambos", "bench", "tests") for p in (ROOT / room).rglob("*.py"))
HEAVY = (
    "llvmlite", "safetensors", "torch", "jax", "scipy", "matplotlib", "rich", "pytest", "asyncio",
    "ambos.compiler", "ambos.train",
)  # fmt: skip
PROSE = ("README.md", "CONTRIBUTING.md")


def settings() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_import_loads_nothing_heavy():
    code = f"import sys, ambos; print(sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_version_is_stated_once():
    import ambos
    from ambos.core import version

    assert ambos.__version__ == version.__version__
    stated = [
        p for p in PACKAGE.rglob("*.py") if re.search(r"^__version__ = ", p.read_text(), re.M)
    ]
    assert stated == [PACKAGE / "core" / "version.py"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_is_short(path):
    num_lines = len(path.read_text().splitlines())
    assert num_lines <= 500


@pytest.mark.parametrize("room", ROOMS, ids=lambda p: p.name)
def test_room_has_a_map(room):
    lines = (room / "README.md").read_text().splitlines()
    assert lines[0] == f"# {room.name}"
    assert 5 <= len(lines) <= 40


@pytest.mark.parametrize("room", ROOMS, ids=lambda p: p.name)
def test_map_names_files_that_exist(room):
    named = re.findall(r"`([\w/]+\.py)`", (room / "README.md").read_text())
    assert [name for name in named if not (room / name).exists()] == []


@pytest.mark.parametrize("room", ROOMS, ids=lambda p: p.name)
def test_a_module_does_not_import_its_own_rooms_front(room):
    """`from ambos.ops import name` inside ops is a cycle that import-linter cannot see."""
    front = f"ambos.{room.name}"
    for path in room.rglob("*.py"):
        if path.name == "__init__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == front:
                names = [a.name for a in node.names]
                modules = [(room / n).is_dir() or (room / f"{n}.py").exists() for n in names]
                assert all(modules), f"{path.relative_to(ROOT)}:{node.lineno} imports {names}"


def test_contracts_have_no_exceptions():
    contracts = settings()["tool"]["importlinter"]["contracts"]
    assert {"layers", "acyclic_siblings", "protected"} <= {c["type"] for c in contracts}
    assert not any("ignore_imports" in contract for contract in contracts)


def test_torch_is_pinned_alike_everywhere():
    extras = settings()["project"]["optional-dependencies"]
    pins = {p for extra in extras.values() for p in extra if p.startswith("torch==")}
    pins |= set(re.findall(r"torch==[\d.]+", (ROOT / "Makefile").read_text()))
    assert pins == {"torch==2.13.0"}


@pytest.mark.parametrize("page", PROSE)
def test_commands_in_prose_exist(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    commands = set(re.findall(r"(?:^|`)make ([a-z]+)\b", (ROOT / page).read_text(), re.M))
    assert {"demo", "test"} <= commands
    assert commands <= targets


def test_continuous_integration_runs_what_people_run():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("exec make test")
