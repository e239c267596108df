"""The examples run: a few steps of each, from the command line's door."""

import sys

import numpy as np
import pytest

import ambos as am
from examples import char_gpt, digits_resnet


def test_a_character_gpt_learns(monkeypatch):
    for name, value in (("SIZES", {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}),
                        ("LENGTH", 32), ("WARMUP", 2)):  # fmt: skip
        monkeypatch.setattr(char_gpt, name, value)
    am.manual_seed(0)
    text = char_gpt.Text(most=100_000)
    assert text.decode([text.number[letter] for letter in "def f(x):"]) == "def f(x):"
    training = char_gpt.Training(text, steps=30)
    before = training.validate(batches=2)
    assert before == pytest.approx(np.log(len(text.letters)), rel=0.05)
    for _ in range(30):
        training.step()
    assert training.validate(batches=2) < before - 0.3


def test_a_resnet_learns_digits(monkeypatch, capsys):
    monkeypatch.setattr(digits_resnet, "SIZE", 8)
    monkeypatch.setattr(sys, "argv", ["digits_resnet.py", "--epochs", "1"])
    digits_resnet.main()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("epoch   1   loss ")
    assert float(line.split("digits ")[1].split("%")[0]) > 20
