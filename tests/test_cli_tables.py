"""Cells of tables that are no finite numbers: which file, line and column `ambos train` names."""

from pathlib import Path

import numpy as np
import pytest

from ambos import cli

CONFIG = """\
loss = "mse"
[model]
name = "mlp"
in_channels = 2
hidden_channels = [1]
[data]
csv = "table.csv"
target = "y"
"""
LINES = ["a,b,y", *(f"{n}.5,{n % 3},{n % 2}.0" for n in range(20))]


def lines(changes):
    return "\n".join(changes.get(number, line) for number, line in enumerate(LINES, 1)) + "\n"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({9: "nan,1,0.5", 12: "1.5,inf,1"}, "line 9: column 'a' is empty or NaN (and 1 more)"),
        ({9: "1.5,,0.5"}, "line 9: column 'b' is empty or NaN"),
        ({9: "1.5,-inf,nan"}, "line 9: column 'b' is -inf"),
        ({4: '\n\n"1.5",1,1.0\n', 9: "1.5,1,"}, "line 12: column 'y' is empty or NaN"),
        ({9: "1.5,x,0.5"}, "line 9: column 'b' is 'x'; need numbers"),
    ],
)
def test_a_cell_is_named(changes, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("my.toml").write_text(CONFIG)
    Path("table.csv").write_text(lines(changes))
    assert cli.main(["train", "my.toml", "--quiet"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("ambos: my.toml, line ")
    assert f"table.csv, {told}" in message, message


def test_of_test_data_and_of_other_tables(tmp_path, monkeypatch, capsys):
    from pyarrow import csv, parquet

    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text(lines({}))
    Path("bad.csv").write_text(lines({3: "1,nan,0.5"}))
    Path("my.toml").write_text(CONFIG + 'test = "bad.csv"\n')
    assert cli.main(["train", "my.toml", "--quiet"]) == 1
    assert "bad.csv, line 3: column 'b'" in capsys.readouterr().err
    parquet.write_table(csv.read_csv("bad.csv"), "table.parquet")
    Path("my.toml").write_text(CONFIG.replace("csv", "parquet"))
    assert cli.main(["train", "my.toml", "--quiet"]) == 1
    assert "table.parquet, row 1: column 'b'" in capsys.readouterr().err


SEEING = """
import ambos as am

class Seeing(am.Model):
    takes_nan = True

    def __init__(self):
        super().__init__()
        self.head = am.nn.Linear(2, 1)

    def forward(self, x):
        return self.head(am.nan_to_num(x))
"""


def test_a_model_may_mean_to_see_nan(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("seeing.py").write_text(SEEING)
    Path("table.csv").write_text(lines({9: "nan,1,0.5"}))
    model = CONFIG.replace('"mlp"', '"seeing:Seeing" #').replace("in_", "# ").replace("hid", "# ")
    Path("my.toml").write_text(model)
    assert cli.main(["train", "my.toml", "--quiet"]) == 0
    assert cli.main(["evaluate", "runs/my"]) == 0
    assert np.isfinite(float(capsys.readouterr().out.split("loss ")[-1].split()[0]))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b,y\n", "table.csv has no rows; need a line of names, and rows"),
        ("", "; need a line of names, and rows with as many cells"),
        ("a,b,y\n1,2,3\n1,2\n", "got 2"),
        ("a,b,y\n1,2,3\n1,2\n", "; need a line of names, and rows with as many cells"),
    ],
)
def test_a_table_without_rows_or_with_short_ones_is_told_so(
    text, told, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("my.toml").write_text(CONFIG)
    Path("table.csv").write_text(text)
    assert cli.main(["train", "my.toml", "--quiet"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("ambos: my.toml, line ")
    assert told in message, message
