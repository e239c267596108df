"""`ambos train` and its like: files, their mistakes, and one training from beginning to end."""

import csv
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import ambos as am
from ambos import cli
from ambos.cli import inputs, train
from ambos.cli.lines import lines_of
from ambos.cli.runs import Run, fresh

ROOT = Path(__file__).resolve().parent.parent
SMALL = """\
loss = "cross_entropy"
metrics = ["accuracy"]
epochs = 2
seed = 3

[model]
name = "mlp"
in_channels = 4
hidden_channels = [5, 3]

[data]
name = "iris"
test_fraction = 0.2

[optimizer]
name = "adam"
lr = 0.01

[[callbacks]]
name = "Timer"

[[callbacks]]
name = "EarlyStopping"
monitor = "loss"
patience = 3
"""
MISTAKES = [
    ("epochs = 2", "epoch = 2", ["line 3:", "unknown key 'epoch'", "Did you mean 'epochs'"]),
    ("epochs = 2", "epochs = 'two'", ["line 3:", "need an integer of at least 1"]),
    ("epochs = 2", "epochs = true", ["line 3:", "need an integer of at least 1"]),
    ("epochs = 2", "epochs == 2", ["is no TOML", "line 3"]),
    ("epochs = 2", "precision = 'bfloat61'", ["line 3:", "Did you mean 'bfloat16'"]),
    ('"cross_entropy"', '"cross_entrpy"', ["line 1:", "Did you mean 'cross_entropy'"]),
    ('loss = "cross_entropy"', "", ["no loss"]),
    ('["accuracy"]', '["acuracy"]', ["line 2, [metrics]", "Did you mean 'accuracy'"]),
    (
        '["accuracy"]',
        "['accuracy',\n{name = 'f1', averag = 'macro'}]",
        ["line 3, [metrics]", "unknown key 'averag'", "Did you mean 'average'"],
    ),
    (
        '["accuracy"]',
        "[ # ]\n{name = 'f1', average = 'makro'}]",
        ["line 3, [metrics]", "Did you mean 'macro'"],
    ),
    ('["accuracy"]', "[\n{nam = 'f1'}]", ["line 3, [metrics]", "Did you mean 'name'"]),
    (
        "hidden_channels = [5, 3]",
        "hidden_channels = [5,\n 'x']",
        ["line 9, [model]", "need a list (an integer each)"],
    ),
    (
        "hidden_channels = [5, 3]",
        "hidden_channels = [5, 3]\ndropot = 0.1",
        ["line 10, [model]", "Did you mean 'dropout'"],
    ),
    ('[[callbacks]]\nname = "Timer"', "[[calbacks]]", ["line 19:", "Did you mean 'callbacks'"]),
    (
        "[optimizer]",
        "[schedule]\nname = 'StepLR'\nstep_siz = 3\n[optimizer]",
        ["line 17, [schedule]", "Did you mean 'step_size'"],
    ),
    (
        "[optimizer]",
        "[schedule]\nname = 'StepLR'\noptimizer = 3\n[optimizer]",
        ["line 17, [schedule]", "known: step_size, gamma"],
    ),
    ('monitor = "loss"', 'monitor = "los"', ["line 24, [callbacks]", "Did you mean 'loss'"]),
    ('name = "iris"', 'npz = "my.toml"', ["line 12, [data]", "is no .npz file"]),
    ('["accuracy"]', '"accuracy"', ["line 2:", "need a list"]),
    ('"mlp"', '"mpl"', ["line 7, [model]", "unknown model 'mpl'", "Did you mean 'mlp'"]),
    ('"mlp"', '"nowhere:net"', ["line 7, [model]", "no module 'nowhere'"]),
    ('"mlp"', '"ambos.nn:Liner"', ["line 7, [model]", "Did you mean 'Linear'"]),
    ("in_channels = 4", "in_chanels = 4", ["[model]", "Did you mean 'in_channels'"]),
    ("in_channels = 4", "in_channels = 4.5", ["line 8, [model]", "need an integer"]),
    ('"iris"', '"irsi"', ["line 12, [data]", "Did you mean 'iris'"]),
    ("test_fraction = 0.2", "test_share = 0.2", ["line 13, [data]", "known: test_fraction"]),
    ("test_fraction = 0.2", "test_fraction = 2", ["[data]", "need a number between 0 and 1"]),
    ('name = "iris"', "", ["[data]", "no source"]),
    ('"adam"', '"adm"', ["line 16, [optimizer]", "Did you mean 'adam'"]),
    ("lr = 0.01", "lrr = 0.01", ["line 17, [optimizer]", "Did you mean 'lr'"]),
    ("lr = 0.01", "lr = -1.0", ["line 17, [optimizer]"]),
    ('"Timer"', '"Tmier"', ["line 20, [callbacks]", "Did you mean 'Timer'"]),
    ("patience = 3", "patiense = 3", ["line 25, [callbacks]", "Did you mean 'patience'"]),
    ("patience = 3", "patience = '3'", ["line 25, [callbacks]", "need an integer"]),
]


@pytest.mark.parametrize(("right", "wrong", "told"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_mistakes_are_told_with_their_line(right, wrong, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert SMALL.count(right) == 1
    Path("my.toml").write_text(SMALL.replace(right, wrong))
    assert cli.main(["train", "my.toml", "--quiet"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("ambos: my.toml")
    assert [part for part in told if part not in message] == [], message
    Path("my.toml").write_text(SMALL)  # and nothing is in the way of the next attempt
    fresh(Path("my.toml"), None, None)


HARD = """\
# x = 0
a . b = 2  # c = 2
"q.k" = [ 3, '#', "]\\"", # z = 3
  4, { n = 4, m = [ { o = 4 },
    { o = 5 } ] } ]
s = \"\"\"
[no]
x = 8\"\"\"
[ d . e ]
t = '''
u = 11'''
[[f]]
g = 1979-05-27 07:32:00
[f.h]
i = { j = 15, k = { l = "}" } }
[[f.p]]
[[f]]
g = true
[[f.p]]
[[f.p]]
q=21"""


def test_each_key_of_a_file_has_its_line():
    lines = lines_of(HARD)
    for place, value in list(flat(tomllib.loads(HARD)))[1:]:
        assert place in lines
        if type(value) is int:
            assert lines[place] == value
    lists = [("f", 1, "g"), ("f", 1, "p", 1), ("f", 0, "h", "i", "k", "l"), ("d", "e", "t")]
    assert [lines[place] for place in lists] == [18, 20, 15, 10]
    assert not [place for place in lines if place[-1] in ("x", "c", "z", "u", "no")]


def flat(value, place=()):
    yield place, value
    inner = value.items() if isinstance(value, dict) else ()
    for key, one in enumerate(value) if isinstance(value, list) else inner:
        yield from flat(one, (*place, key))


def test_a_training_from_beginning_to_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("my.toml").write_text(SMALL)
    assert cli.main(["train", "my.toml", "--quiet"]) == 0
    assert "2 epochs" in capsys.readouterr().out
    assert Path("runs/my/config.toml").read_text() == SMALL
    assert cli.main(["train", "my.toml"]) == 1
    assert "ambos resume runs/my" in capsys.readouterr().err

    monkeypatch.chdir("/")  # a run knows where it was begun
    run = tmp_path / "runs" / "my"
    assert cli.main(["resume", str(run), "--epochs", "5", "--quiet"]) == 0
    assert cli.main(["train", str(tmp_path / "my.toml"), "--epochs", "5", "--quiet",
                     "--output", str(tmp_path / "at_once")]) == 0  # fmt: skip
    weights = [am.load(place / "model.safetensors") for place in (run, tmp_path / "at_once")]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        np.testing.assert_array_equal(value.numpy(), weights[1][name].numpy())
    lines = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    assert [line["epoch"] for line in lines] == ["0", "1", "2", "3", "4"]
    assert float(lines[-1]["loss"]) < float(lines[0]["loss"])
    capsys.readouterr()

    assert cli.main(["evaluate", str(run)]) == 0
    shown = capsys.readouterr().out
    _, (x, y) = am.data.iris(test_fraction=0.2)
    for suffix, loaded in ((".npy", np.load), (".csv", lambda p: np.loadtxt(p, delimiter=","))):
        np.save(tmp_path / "x.npy", x)
        output = tmp_path / f"y{suffix}"
        arguments = ["predict", str(run), "--input", str(tmp_path / "x.npy"), "--output"]
        assert cli.main([*arguments, str(output)]) == 0
        first = x @ weights[0]["0.weight"].numpy().T + weights[0]["0.bias"].numpy()
        last = weights[0]["3.weight"].numpy(), weights[0]["3.bias"].numpy()
        expected = np.maximum(first, 0) @ last[0].T + last[1]
        np.testing.assert_allclose(loaded(output), expected, rtol=1e-4, atol=1e-5)
    assert f"accuracy {(expected.argmax(1) == y).mean():.4g}" in shown
    for wrong, told in (
        (x[:, :3], "x.npy: rows of float32 and shape (3,) do not fit the model: Linear"),
        (x[0], "it gives 3 outputs for 4 of them"),
        (x[:0], "need rows"),
        (x.astype("U1"), "rows of <U1 and shape (4,) do not fit"),
    ):
        np.save(tmp_path / "x.npy", wrong)
        assert cli.main(arguments[:-1]) == 1
        assert told in capsys.readouterr().err
    assert "(test data)" in shown


STOP = """
import os
import signal
from pathlib import Path

from ambos import callbacks


class Stop(callbacks.Callback):
    def __init__(self, how, after):
        self.how, self.left = how, after

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0 and not Path("stopped").exists():
            Path("stopped").touch()
            os.kill(os.getpid(), getattr(signal, self.how))
"""


def test_ctrl_c_and_kill_cost_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("stopping.py").write_text(STOP)
    text = SMALL.replace("epochs = 2", "epochs = 3")
    text = text.replace('"Timer"', "'stopping:Stop'\nhow = 'SIGKILL'\nafter = 6")
    Path("kill.toml").write_text(text)
    Path("stop.toml").write_text(text.replace("SIGKILL", "SIGINT"))
    left = subprocess.run([sys.executable, "-m", "ambos", "train", "kill.toml", "--quiet"],
                          timeout=60, check=False)  # fmt: skip
    assert left.returncode == -signal.SIGKILL
    assert cli.main(["resume", "runs/kill", "--quiet"]) == 0
    capsys.readouterr()

    assert cli.main(["train", "stop.toml", "--output", "whole", "--quiet"]) == 0  # "stopped" is
    Path("stopped").unlink()
    assert cli.main(["train", "stop.toml", "--quiet"]) == 130
    assert "`ambos resume runs/stop` goes on" in capsys.readouterr().out
    assert cli.main(["resume", "runs/stop", "--quiet"]) == 0
    for run in ("runs/kill", "runs/stop"):
        assert Path(run, "history.csv").read_text() == Path("whole/history.csv").read_text()
        for name, value in am.load("whole/model.safetensors").items():
            found = am.load(Path(run, "model.safetensors"))[name]
            np.testing.assert_array_equal(found.numpy(), value.numpy())
    capsys.readouterr()
    assert cli.main(["resume", "whole", "--quiet"]) == 0
    assert "nothing was left to train; `ambos resume whole --epochs 6`" in capsys.readouterr().out
    sys.modules.pop("stopping")


def test_ctrl_c_before_anything(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("early.py").write_text("def net():\n    raise KeyboardInterrupt\n")
    Path("early.toml").write_text(SMALL.replace('"mlp"', '"early:net" #').replace("in_ch", "#")
                                  .replace("hidden", "#"))  # fmt: skip
    assert cli.main(["train", "early.toml"]) == 130
    assert capsys.readouterr().err == "ambos: train was interrupted\n"
    sys.modules.pop("early")


def test_tables_with_named_classes(tmp_path, monkeypatch, capsys):
    from pyarrow import csv as csv_of_arrow
    from pyarrow import parquet

    monkeypatch.chdir(tmp_path)
    rows = ["long,wide,kind"] + [f"{n % 2 * 4 - 2},{n % 3},{'ab'[n % 2]}" for n in range(24)]
    Path("table.csv").write_text("\n".join(rows))
    table = "[data]\ncsv = 'table.csv'\ntarget = 'kind'\ntest_fraction = 0.25\n"
    text = SMALL[: SMALL.index("[data]")] + table
    text = text.replace("[5, 3]", "[2]").replace("= 4", "= 2").replace("epochs = 2", "epochs = 60")
    Path("t.toml").write_text(text + "[optimizer]\nname = 'sgd'\nlr = 0.5\n")
    assert cli.main(["train", "t.toml", "--quiet"]) == 0
    Path("new.csv").write_text("wide,long\n1,2\n1,-2\n")  # columns are found by name
    capsys.readouterr()
    assert cli.main(["predict", "runs/t", "--input", "new.csv", "--classes"]) == 0
    assert capsys.readouterr().out.split() == ["b", "a"]
    monkeypatch.setattr(inputs, "ROWS", 4)  # rows are read and computed four at a time
    Path("table.csv").rename("away.csv")  # what the columns are called is known without it
    Path("many.csv").write_text("\ufeff" + "\n".join(rows) + "\n\n")
    parquet.write_table(csv_of_arrow.read_csv("away.csv"), "many.parquet")
    for one in ("csv", "parquet"):
        assert (
            cli.main(["predict", "runs/t", "--input", f"many.{one}", "--output", f"{one}.npy"]) == 0
        )
        assert "24 rows" in capsys.readouterr().err
    found = np.load("csv.npy")
    assert (found.shape, found.dtype) == ((24, 2), np.float32)
    np.testing.assert_array_equal(found, np.load("parquet.npy"))
    long, wide = (np.array([float(row.split(",")[n]) for row in rows[1:]]) for n in (0, 1))
    weights = am.load("runs/t/model.safetensors")
    expected = np.stack([long, wide], 1) @ weights["0.weight"].numpy().T + weights["0.bias"].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    for broken, told in (
        ("1,2,a,4", "line 26: 4 cells; need 3"),
        ("1,x,a", "line 26: column 'wide' is 'x'; need a number"),
        ("1,,a", "line 26: column 'wide' is ''; need a number"),
    ):
        Path("bad.csv").write_text("\n".join([*rows, broken]))
        pieces = inputs.pieces_of(Path("bad.csv"), Run.opened(Path("runs/t")))
        # of the file no more is read than is needed
        assert [len(next(pieces).x) for _ in range(6)] == [4] * 6
        assert cli.main(["predict", "runs/t", "--input", "bad.csv", "--output", "bad.npy"]) == 1
        assert told in capsys.readouterr().err
        assert not list(Path().glob("bad.npy*"))
    Path("away.csv").rename("table.csv")
    Path("new.csv").write_text("wide,long,kind\n")
    assert cli.main(["predict", "runs/t", "--input", "new.csv"]) == 1
    assert "has no rows" in capsys.readouterr().err
    Path("new.csv").write_text("wide,lng\n1,2\n")
    assert cli.main(["predict", "runs/t", "--input", "new.csv"]) == 1
    told = "no column 'long'; need all that the model takes: long, wide. Did you mean 'lng'?"
    assert told in capsys.readouterr().err
    Path("new.csv").write_text("wide,long,wide\n1,2,3\n")
    assert cli.main(["predict", "runs/t", "--input", "new.csv"]) == 1
    assert "new.csv: 2 columns are called 'wide'" in capsys.readouterr().err
    Path("table.csv").write_text("\n".join([*rows, "1,2,"]))
    assert cli.main(["train", "t.toml", "--quiet", "--output", "new"]) == 1
    assert "table.csv, line 26: the column 'kind' is empty; need" in capsys.readouterr().err
    for wrong, told in (("'kidn'", "Did you mean 'kind'"), ("'wide'", "column 'kind' is 'a'")):
        Path("w.toml").write_text(text.replace("'kind'", wrong))
        assert cli.main(["train", "w.toml", "--quiet"]) == 1
        assert told in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:compile. the model ends in nn.Sigmoid")
def test_classes_are_of_losses_that_tell_what_a_score_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(
        "from ambos import nn\nfrom ambos.nn import functional as F\n\n\n"
        "def net(outputs, probabilities=False):\n"
        "    last = [nn.Sigmoid()] * probabilities\n"
        "    return nn.Sequential(nn.Linear(2, outputs), *last)\n\n\n"
        "def loss(output, target):\n"
        "    return F.binary_cross_entropy(output, target.float())\n"
    )
    Path("t.csv").write_text("a,b,kind\n" + "1,2,no\n-1,2,yes\n" * 4)
    text = "loss = 'own:loss'\n[model]\nname = 'own:net'\noutputs = 1\nprobabilities = true\n"
    Path("s.toml").write_text(text + "[data]\ncsv = 't.csv'\ntarget = 'kind'\n")
    assert cli.main(["train", "s.toml", "--quiet"]) == 0
    capsys.readouterr()

    def classes(rows, weight, *changes):
        Path("p.csv").write_text("\n".join(["a,b", *rows]))
        config = Path("s.toml").read_text()
        for old, new in changes:
            config = config.replace(old, new)
        Path("runs/s/config.toml").write_text(config)
        weight = am.tensor(weight, dtype="float32")
        model = Run.opened(Path("runs/s")).model()
        model.load_state_dict({"0.weight": weight, "0.bias": 0 * weight[:, 0]})
        model.save("runs/s/model.safetensors")
        code = cli.main(["predict", "runs/s", "--input", "p.csv", "--classes"])
        said = capsys.readouterr()
        return said.out.split() if code == 0 else said.err

    rows, one, logits = ["-9,0", "9,0"], [[1, 0]], ("probabilities = true", "")
    for weight, change, told in (
        (one, ("", ""), "the loss own:loss does not say"),  # a probability is always above 0
        (one, ("own:loss", "mse"), "the loss mse is not of classes"),
        (one, ("own:loss", "cross_entropy"), "gives 1 score a row"),
    ):
        assert told in classes(rows, weight, change)
    for binary in ("bce_with_logits", "ambos.nn:BCEWithLogitsLoss"):
        assert classes(rows, one, ("own:loss", binary), logits) == ["no", "yes"]
    two = [[1, 0], [0, 1]]
    for several in ("cross_entropy", "ambos.nn.functional:nll_loss", "own:loss"):
        changes = ("own:loss", several), ("outputs = 1", "outputs = 2")
        assert classes(["3,-3", "-2,2"], two, *changes) == ["no", "yes"]
    for bad in ("1,nan", "inf,1"):
        assert "p.csv: row 1: scores are" in classes(["1,2", bad], two, *changes)
    changes = ("own:loss", "cross_entropy"), ("outputs = 1", "outputs = 3")
    assert "p.csv: row 1 is of class 2, of the 2" in classes(
        ["5,0", "0,9"], [*two, [0, 2]], *changes
    )
    sys.modules.pop("own")


def test_arrays_and_folders_of_images(tmp_path, monkeypatch, capsys):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    draws = np.random.default_rng(0)
    for number, kind in enumerate(["dark", "light"] * 4):
        Path(kind).mkdir(exist_ok=True)
        Path("all", kind).mkdir(parents=True, exist_ok=True)
        bright = draws.integers(0, 100, (6, 5, 3)) + (155 if kind == "light" else 0)
        Image.fromarray(bright.astype(np.uint8)).save(f"all/{kind}/{number}.png")
    Path("mine.py").write_text(
        "from ambos import nn\n\n\ndef net(inputs, outputs=2):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs))\n"
    )
    head = "loss = 'cross_entropy'\nepochs = 1\nbatch_size = 4\n[model]\nname = 'mine:net'\n"
    Path("i.toml").write_text(head + "inputs = 48\n[data]\nimages = 'all'\nsize = [4, 4]\n")
    assert cli.main(["train", "i.toml", "--quiet"]) == 0
    assert cli.main(["evaluate", "runs/i"]) == 0
    assert "no test part" in capsys.readouterr().out
    assert cli.main(["predict", "runs/i", "--input", "all"]) == 0
    scores = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert [row[0] for row in scores] == sorted(map(str, Path("all").rglob("*.png")))
    one = [f"predict runs/i --classes --input {place}".split() for place in ("all/dark/0.png", "x")]
    assert cli.main(one[0]) == 0
    likeliest = "dark" if float(scores[0][1]) > float(scores[0][2]) else "light"
    assert capsys.readouterr().out == f"all/dark/0.png,{likeliest}\n"
    Path("x").mkdir()
    assert cli.main(one[1]) == 1
    assert "there are no images in 'x'" in capsys.readouterr().err
    Path("x/broken.jpg").write_bytes(Path("all/dark/0.png").read_bytes()[:60])
    assert cli.main(one[1]) == 1
    assert "x/broken.jpg cannot be read" in capsys.readouterr().err
    np.savez("a.npz", x=np.eye(8), y=np.arange(8) % 2, x_test=np.eye(8)[:2], y_test=[0, 1])
    Path("n.toml").write_text(head + "inputs = 8\n[data]\nnpz = 'a.npz'\n")
    assert cli.main(["train", "n.toml", "--quiet"]) == 0
    assert cli.main(["evaluate", "runs/n"]) == 0
    assert "(test data)" in capsys.readouterr().out
    Path("n.toml").write_text(head + "[data]\nnpz = 'a.npz'\n")
    assert cli.main(["train", "n.toml", "--quiet", "--output", "new"]) == 1
    assert "line 4, [model]: no inputs; need it for net" in capsys.readouterr().err
    sys.modules.pop("mine")


def test_what_callbacks_write_is_in_the_folder_of_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = "[[callbacks]]\nname = 'ModelCheckpoint'\nfilepath = 'best'\n"
    Path("t.toml").write_text(f"{SMALL}\n[[callbacks]]\nname = 'TensorBoard'\n{more}")
    run = fresh(Path("t.toml"), None, None)
    logs, best = run.callbacks()[-3:-1]
    assert logs.log_dir == Path("runs/t/logs")
    assert Path(best.filepath) == Path("runs/t/best")


def test_files_and_folders_that_are_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("flowers.toml").write_text(SMALL)
    Path("runs/flowers").mkdir(parents=True)
    Path("runs/flowers/config.toml").write_text(SMALL)
    Path("runs/flowers/model.safetensors").write_bytes(b"")
    for arguments, told in (
        ("train flower.toml", "Did you mean 'flowers.toml'"),
        ("train .", "'.' is a folder; need a TOML file, such as flowers.toml"),
        ("evaluate runs/flower", "Did you mean 'runs/flowers'"),
        ("evaluate runs", "Did you mean one of runs/flowers"),
        ("evaluate runs/flowers/model.safetensors", "Did you mean 'runs/flowers'"),
        ("evaluate runs/flowers", "run.json is damaged"),
    ):
        assert cli.main(arguments.split()) == 1
        assert told in capsys.readouterr().err


@pytest.mark.parametrize("command", ["resume", "evaluate", "predict"])
def test_a_folder_without_a_run(command, tmp_path, capsys):
    more = ["--input", "x.npy"] if command == "predict" else []
    assert cli.main([command, str(tmp_path), *more]) == 1
    assert "need the folder that `ambos train` wrote" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([command, str(tmp_path), *more, "--strange"])


def test_the_examples_of_all_help_texts_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    found = [["train", "first.toml", "--epochs", "1"]]
    Path("first.toml").write_text(train.MORE.partition("\n")[2])  # what `ambos train --help` shows
    for command in ("train", "resume", "evaluate", "predict", "bench", "info"):
        with pytest.raises(SystemExit) as left:
            cli.main([command, "--help"])
        assert left.value.code == 0
        text = capsys.readouterr().out.partition("examples:\n")[2]
        found += [line.split()[1:] for line in text.splitlines() if line.strip()]
    assert {example[0] for example in found} >= {"train", "resume", "evaluate", "predict", "bench"}
    for example in found:
        more = ["--quiet"] if example[0] in ("train", "resume") else []
        assert cli.main([*example, *more]) == 0, example
    assert np.load("scores.npy").shape == (3, 3)
    assert capsys.readouterr().out.count("gemm/") > 1


def test_benchmarks_belong_to_a_checkout(tmp_path):
    (tmp_path / "ambos").symlink_to(ROOT / "ambos")  # installed, without the rest of a checkout
    program = (
        "import os, sys\n"
        "sys.path[:] = [p for p in sys.path if not os.path.isdir(p + '/bench')]\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from ambos import cli\n"
        "sys.exit(cli.main(['bench', '--list']))"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True,
                            text=True, timeout=60, check=False)  # fmt: skip
    assert result.returncode == 1
    assert "need a checkout of ambos" in result.stderr
