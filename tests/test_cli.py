"""The command line: info, mistakes, and a short demo."""

import io
import re
import subprocess
import sys

import numpy as np
import pytest

from ambos import cli
from ambos.cli.info import cache_size
from ambos.core.version import __version__
from ambos.train import demo


def test_info_names_what_a_report_needs(capsys):
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    rows = dict(line.split(None, 1) for line in text.splitlines() if not line.startswith("cache"))
    assert rows["ambos"] == __version__
    assert rows["NumPy"] == np.__version__
    for name in ("Python", "llvmlite", "processor", "features", "cores", "threads"):
        assert rows[name]
    assert "MiB in" in text


@pytest.mark.parametrize(("wrong", "right"), [("dmo", "demo"), ("inof", "info")])
def test_unknown_commands_are_answered(wrong, right, capsys):
    with pytest.raises(SystemExit) as found:
        cli.main([wrong])
    assert found.value.code == 2
    assert f"Did you mean '{right}'" in capsys.readouterr().err


def test_without_a_command_there_is_help(capsys):
    assert cli.main([]) == 0
    assert "demo" in capsys.readouterr().out


def test_cache_size_counts_files(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_bytes(b"4567")
    assert cache_size(tmp_path) == (2, 7)
    assert cache_size(tmp_path / "none") == (0, 0)


def test_the_demo_keeps_its_promises(tmp_path, capsys):
    assert cli.main(["demo", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for part in ("GFLOP/s measured", "parameters 29,258", "every prediction is the same",
                 "learning-curve.png", "kernels"):  # fmt: skip
        assert part in text
    assert (tmp_path / "learning-curve.png").read_bytes().startswith(b"\x89PNG")
    assert all(
        len(line) <= 80
        for line in text.splitlines()
        if "epoch " not in line and str(tmp_path) not in line
    )
    assert text.count("says ") == demo.SHOWN
    assert "\x1b" not in text


def test_a_demo_that_misses_its_goal_fails(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "GOAL", 1.01)
    assert cli.main(["demo", "--epochs", "1", "--out", str(tmp_path)]) == 1
    assert "need 101%" in capsys.readouterr().err


def test_digits_are_drawn_as_they_are():
    image = np.zeros((8, 8), np.float32)
    image[:, 3:5] = 1  # a vertical stroke
    assert demo.draw(image) == ["      ████      "] * 8


def test_colours_only_add_to_the_drawn_digits():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    image = np.zeros((2, 1, 8, 8), np.float32)
    image[:, :, :, 3:5] = 1
    scores, labels = np.eye(10)[[1, 1]], np.array([1, 7])
    plain = demo.picture(image, scores, labels, io.StringIO())
    coloured = demo.picture(image, scores, labels, Terminal())
    assert "says 1, is 7 ✗" in plain
    assert demo.RIGHT in coloured
    assert demo.WRONG in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


def test_enlarging_keeps_the_mean():
    image = np.random.RandomState(0).rand(8, 8).astype(np.float32)
    fine = demo.enlarge(image)
    assert fine.shape == (16, 16)
    assert fine.mean() == pytest.approx(image.mean(), rel=0.05)
    np.testing.assert_allclose(demo.enlarge(np.full((8, 8), 0.3)), 0.3)


STOPPED = """
import sys

class Stopping:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Stopping())
import ambos_command
sys.exit(ambos_command.main())
"""


@pytest.mark.parametrize("name", ["ambos", "numpy", "ambos.tensor.public", "ambos.cli.train"])
def test_ctrl_c_while_it_is_imported_is_a_line(name):
    """The package takes a fifth of a second to import, in which nothing of the command is there."""
    command = [sys.executable, "-c", STOPPED.format(name=name)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stderr) == (130, "ambos: was interrupted\n")
