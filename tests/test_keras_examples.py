"""Keras's examples in ambos: each learns something, in no more lines than the original has."""

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples" / "keras"
README = (FOLDER / "README.md").read_text()
NAMES = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))

# What it is run with, and what must hold afterwards. Chance, or doing nothing, is far from each.
RUNS = {
    "image_classification": ("--epochs 6", lambda found: found["score"]["accuracy"] > 0.8),
    "text_classification": ("--epochs 5", lambda found: (
        found["model"].history.history["val_accuracy"][-1] > 0.75
        and found["score"]["accuracy"] > 0.5)),
    "imbalanced_classes": ("--epochs 20", lambda found: (
        found["score"]["recall"] > 0.8 and found["score"]["precision"] > 0.25)),  # 0.06 by chance
    "timeseries": ("--epochs 2", lambda found: found["error"] < 0.6 * found["no_change"]),
    "autoencoder": ("--epochs 3", lambda found: found["after"] < 0.6 * found["before"]),
    "gan": ("--epochs 10", lambda found: found["after"] < 0.8 * found["mean"]),
    "multi_input": ("", lambda found: (
        found["model"].history.history["val_department_accuracy"][-1] > 0.9
        and found["model"].history.history["val_priority_accuracy"][-1] > 0.75)),
    "structured_data": ("--epochs 8", lambda found: (  # 0.67 if all were well
        found["model"].history.history["val_accuracy"][-1] > 0.8)),
    # Features that nothing was learnt on reach 0.36 frozen.
    "transfer_learning": ("--epochs 8", lambda found: (
        found["frozen"] > 0.6 and found["tuned"] > found["frozen"] + 0.03)),
}  # fmt: skip


def code_lines(text: str) -> int:
    """Lines that are neither blank, nor comment, nor a text that stands by itself."""
    apart: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            apart.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in apart
        for number, line in lines
    )


def test_lines_are_no_more_than_the_originals():
    # As wide as Keras's own formatter leaves lines.
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "88", "-"]
    rows = dict(re.findall(r"^\| `(\w+)\.py` \|[^|]+\|([^|]+\|[^|]+)\|", README, re.M))
    assert sorted(rows) == NAMES
    for name in NAMES:
        text = (FOLDER / f"{name}.py").read_text()
        shaped = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        theirs, ours = map(int, rows[name].split("|"))
        assert (name, ours) == (name, code_lines(shaped.stdout))
        assert ours <= theirs, name


@pytest.mark.parametrize("name", NAMES)
def test_example_learns(name, tmp_path, monkeypatch, capsys):
    arguments, holds = RUNS[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments.split()])
    found = runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert holds(found), capsys.readouterr().out[-500:]
