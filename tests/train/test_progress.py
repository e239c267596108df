"""The displays: a bar that fits its terminal, one line for a pipe, nothing when silent."""

import io
import os
import pty
import re
import subprocess
import sys

import pytest

from ambos.core.errors import ArgumentError
from ambos.train import progress

LOGS = {"loss": 0.12345, "accuracy": 0.5, "tiny": 1.5e-7}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_numbers_are_short():
    assert progress.numbers(LOGS) == "loss 0.1235  accuracy 0.5000  tiny 1.500e-07"


@pytest.mark.parametrize("columns", [20, 60, 80, 200])
def test_a_bar_never_exceeds_the_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = io.StringIO()
    bar = progress.Bar(10, stream)
    bar.begin(3, 45)
    assert bar.due()
    bar.update(9, LOGS)
    assert not bar.due()
    bar.end(LOGS)
    live, over = stream.getvalue().split(progress.ERASE)[1:]
    lines = [live, *over.splitlines()]
    assert all(len(line) < columns or columns == 20 for line in lines)
    assert progress.FULL not in over
    assert over.split()[-6:] == progress.numbers(LOGS).split()
    if columns == 200:
        assert lines[0].count(progress.FULL) == 6  # 9 / 45 of 30
        assert lines[0].startswith("epoch  4/10 ")


def test_an_unknown_number_of_batches_and_an_early_end():
    stream = io.StringIO()
    bar = progress.Bar(1, stream)
    bar.begin(0, None)
    bar.update(7, {})
    assert "7 batches" in stream.getvalue()
    bar.close()
    bar.close()
    assert stream.getvalue().endswith("ms  \n")


def test_the_display_follows_the_output(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert type(progress.choose("auto", 1)) is progress.Progress
    assert type(progress.choose(0, 1)) is progress.Silent
    assert type(progress.choose(2, 1)) is progress.Progress
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert type(progress.choose("auto", 1)) is progress.RichBar
    monkeypatch.setitem(sys.modules, "rich.console", None)  # as if it were not installed
    assert type(progress.choose("auto", 1)) is progress.Bar


SCRIPT = """
import numpy as np, ambos as am
from ambos import nn
model = am.Sequential([nn.Linear(2, 2)])
model.compile("sgd", "cross_entropy", ["accuracy"])
model.fit(np.ones((64, 2)), np.ones(64, int), epochs=2, batch_size=2)
"""


def test_in_a_real_terminal_the_bar_is_live():
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color"}
    child = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=follower, env=environment)
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(leader)
    assert child.wait() == 0
    text = shown.decode()
    assert text.count("\r\x1b[K") >= 3
    assert re.search(r"loss \d\.\d{4}  accuracy [01]\.0000\r?\n$", text)
    assert text.count("\n") == 2


def test_every_number_of_an_epoch_is_shown_in_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    stream, logs = io.StringIO(), dict.fromkeys(names, 0.5)
    bar = progress.Bar(8, stream)
    bar.begin(0, 45)
    bar.end(logs)
    first, second = stream.getvalue().removeprefix(progress.ERASE).splitlines()
    assert first.endswith("loss 0.5000  accuracy 0.5000  val_loss 0.5000")
    assert second.strip() == "val_accuracy 0.5000"


@pytest.mark.parametrize("verbose", [7, -1, "loud", None, [1]])
def test_an_unknown_verbosity(verbose):
    with pytest.raises(ArgumentError, match="verbose is"):
        progress.choose(verbose, 1)
