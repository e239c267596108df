"""Runs that are killed at a random step and begun again: `make crash` does so twenty times a case.

`python -m tests.train.crash [--case NAME] [--count 20]`
"""

from __future__ import annotations

import argparse
import contextlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import ambos as am
from ambos import cli, nn, optim
from ambos.data import DataLoader, Dataset

EPOCHS = 3
ROWS = 14  # in batches of 4: the last one of an epoch is short


class Examples(Dataset):
    """Examples with random numbers, as augmentation has them."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Any:
        x = np.sin(np.arange(3.0) * (index + 1)) + 0.01 * am.data.random().normal(size=3)
        return x.astype(np.float32), x.sum(keepdims=True).astype(np.float32)


def arrays() -> dict[str, Any]:
    x = np.sin(np.arange(ROWS * 3.0)).reshape(ROWS, 3).astype(np.float32)
    return {"x": x, "y": x.sum(1, keepdims=True), "batch_size": 4, "epochs": EPOCHS, "verbose": 0}


def network() -> am.Sequential:
    am.manual_seed(1)
    return am.Sequential([nn.Linear(3, 5), nn.Dropout(0.2), nn.BatchNorm1d(5), nn.Linear(5, 1)])


def plain() -> Any:
    model = network()
    model.compile(optim.SGD(lr=0.05, momentum=0.9), "mse", ["mae"])
    return model, arrays()


def scheduled() -> Any:
    model = network()
    rule = optim.AdamW(lr=0.05)
    model.compile(rule, "mse", schedule=lambda updates: 0.05 / (1 + updates))
    return model, arrays() | {"accumulate": 3, "clip_norm": 0.5, "validation_split": 0.25}


def remembering() -> Any:
    model = network()
    model.compile(optim.Adam(lr=0.05), "mse")
    callbacks = am.callbacks
    chosen = [
        callbacks.ReduceLROnPlateau("loss", patience=0, factor=0.5, min_delta=10.0),
        callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True),
        callbacks.SwapEMAWeights(),
    ]
    return model, arrays() | {"callbacks": chosen}


def averaging() -> Any:
    model = network()
    model.compile(optim.AdamWScheduleFree(lr=0.05), "mse")
    return model, arrays()


def pipeline() -> Any:
    model = network()
    model.compile(optim.SGD(lr=0.05), "mse")
    given = arrays()
    data = am.data.Dataset.from_tensor_slices((given.pop("x"), given.pop("y")))
    given.pop("batch_size")
    return model, given | {"x": data.shuffle(5, seed=3).batch(4)}


def loader(workers: int = 0) -> Any:
    model = network()
    model.compile(optim.SGD(lr=0.05), "mse")
    given = arrays()
    for name in ("x", "y", "batch_size"):
        del given[name]
    loaded = DataLoader(Examples(), batch_size=4, shuffle=True, seed=5, num_workers=workers)
    return model, given | {"x": loaded}


def workers() -> Any:
    return loader(2)


TOML = """
loss = "mse"
metrics = ["mae"]
epochs = 3
batch_size = 4
seed = 1
validation_split = 0.2
model = { name = "mlp", in_channels = 3, hidden_channels = [5, 1], dropout = 0.2 }
data = { npz = "arrays.npz" }
optimizer = { name = "sgd", lr = 0.05, momentum = 0.9 }
schedule = { name = "ExponentialLR", gamma = 0.99 }
callbacks = [
  "tests.train.crash:Slow",
  { name = "EarlyStopping", monitor = "loss", patience = 9, restore_best_weights = true },
  "SwapEMAWeights",
]
"""


def by_command_line(folder: Path) -> None:
    """`ambos train`, or `ambos resume` where that has been; checkpoints are those of epochs."""
    given = arrays()
    folder.mkdir(exist_ok=True)
    np.savez(folder / "arrays.npz", x=given["x"], y=given["y"])
    (folder / "config.toml").write_text(TOML)
    run = folder / "run"
    begin = ["train", "config.toml", "--output", "run"]
    print("ready", flush=True)
    with contextlib.chdir(folder):
        is_begun = (run / "config.toml").exists()
        assert cli.main([*(["resume", "run"] if is_begun else begin), "--quiet"]) == 0
    found = {name: value.numpy() for name, value in am.load(run / "model.safetensors").items()}
    found["history"] = np.array((run / "history.csv").read_text())
    np.savez(folder / "weights.npz", **found)


CASES = {
    "arrays": plain, "scheduled": scheduled, "remembering": remembering, "averaging": averaging,
    "pipeline": pipeline, "loader": loader,
}  # fmt: skip
KILLED = [*CASES, "workers", "cli"]


def prepared(case: str) -> tuple[Any, dict[str, Any]]:
    """A model, and what it is to be given to `fit`."""
    found: tuple[Any, dict[str, Any]] = (CASES | {"workers": workers})[case]()
    return found


def train(case: str, folder: Path) -> None:
    """Train to the end, from the newest checkpoint on; writes the weights."""
    if case == "cli":
        by_command_line(folder.resolve())
        return
    model, arguments = prepared(case)
    backup = am.callbacks.BackupAndRestore(folder, save_freq=1, delete_checkpoint=False)
    arguments["callbacks"] = [*arguments.get("callbacks", []), backup, Slow()]
    print("ready", flush=True)
    model.fit(**arguments)
    np.savez(folder / "weights.npz", **everything(model))


def everything(model: Any) -> dict[str, Any]:
    """Weights and the optimizer's states, as arrays."""
    states = model.optimizer.state_dict()["state"]
    found = {f"{n}.{k}": np.asarray(v) for n, each in states.items() for k, v in each.items()}
    return found | {name: value.numpy() for name, value in model.state_dict().items()}


class Slow(am.callbacks.Callback):
    """A step takes long enough to be hit."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        time.sleep(0.01)


def kill_and_resume(case: str, folder: Path, seed: int) -> int:
    """`kill -9` at random moments, until a run comes through; returns how often."""
    chance, kills = random.Random(seed), 0
    command = [sys.executable, "-m", "tests.train.crash", "--case", case, "--folder", str(folder)]
    while True:
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(0.02 + 0.5 * chance.random() if kills < 2 else 300)
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
                continue
        assert process.returncode == 0
        return kills


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", choices=KILLED)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--count", type=int, default=20)
    chosen = parser.parse_args()
    if chosen.folder:
        train(chosen.case, chosen.folder)
        return
    for case in [chosen.case] if chosen.case else KILLED:
        with tempfile.TemporaryDirectory() as place:
            train(case, Path(place) / "whole")
            expected = dict(np.load(Path(place) / "whole" / "weights.npz"))
            kills = 0
            for turn in range(chosen.count):
                kills += kill_and_resume(case, Path(place) / str(turn), turn)
                found = dict(np.load(Path(place) / str(turn) / "weights.npz"))
                for name, value in expected.items():
                    np.testing.assert_array_equal(found[name], value, err_msg=f"{case} {name}")
            print(f"{case}: {chosen.count} runs, {kills} kills, the same bits", flush=True)


if __name__ == "__main__":
    main()
