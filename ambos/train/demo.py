"""The demo: a network learns real handwritten digits, from nothing to a saved model."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from ambos import nn, optim
from ambos.core.config import config
from ambos.core.errors import AmbosError
from ambos.data import digits
from ambos.runtime import loader, machine
from ambos.runtime.measure import measure_peak
from ambos.tensor.random import manual_seed
from ambos.tensor.realize import planning
from ambos.train.callbacks.history import History
from ambos.train.model import Model, Sequential

SEED = 0
EPOCHS = 8
GOAL = 0.98  # accuracy on the digits that training never saw
SHOWN = 8  # digits drawn at the end
PLACE = Path("runs") / "demo"
RIGHT, WRONG, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"  # green, red, the terminal's own


class DemoError(AmbosError):
    """The demo did not do what it promises."""


def network() -> Sequential:
    """Two convolutions, one pooling, one linear layer: 29,258 parameters."""
    return Sequential([
        nn.Conv2d(1, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.LazyLinear(10),
    ])  # fmt: skip


def run(epochs: int = EPOCHS, seed: int = SEED, place: Path = PLACE) -> float:
    """The whole demo; returns the accuracy on held-out digits.

    Errors: DemoError where the goal is missed or the saved model answers differently.
    """
    start = time.perf_counter()
    show_machine()
    manual_seed(seed)
    (x_train, y_train), (x_test, y_test) = digits(test_fraction=0.2, seed=seed)
    print(
        f"data        {len(x_train):,} handwritten digits to learn from, {len(x_test)} held out\n"
    )
    model = network()
    model.summary((1, 8, 8))
    print()
    model.compile(optim.Adam(lr=2e-3), "cross_entropy", ["accuracy"])
    history = model.fit(
        x_train, y_train, epochs=epochs, seed=seed, validation_data=(x_test, y_test)
    )
    if history.interrupted:
        return float("nan")
    scores = model.predict(x_test)
    accuracy = float((scores.argmax(1) == y_test).mean())
    print(f"\naccuracy    {accuracy:.2%} of {len(x_test)} digits that the network has never seen")
    path = save(model, x_test, scores, place)
    print(f"model       {path}\n            reloaded: every prediction is the same")
    curve = draw_curve(history, place / "learning-curve.png")
    print(f"curve       {curve}")
    print(f"compilation {compilation()}")
    print(f"time        {time.perf_counter() - start:.1f} s in all\n")
    print(picture(x_test, scores, y_test, sys.stdout))
    if accuracy < GOAL:
        raise DemoError(f"demo: the accuracy is {accuracy:.2%}; need {GOAL:.0%}")
    return accuracy


def show_machine() -> None:
    """What this runs on."""
    features, cores = machine.host_features(), machine.num_cores()
    peak = measure_peak()
    print(f"machine     {machine.host_name()[:68]}")
    print(
        f"            {cores} core{'s' * (cores != 1)} ({config.threads} used), vectors of "
        f"{features.vector_bytes * 8} bits"
    )
    print(f"            {peak:.0f} GFLOP/s measured on one core")


def compilation() -> str:
    """How long planning programs and compiling kernels took so far."""
    found = loader.statistics
    text = f"{planning.seconds:.1f} s for {planning.programs} programs, {found.compiled} kernels"
    if found.loaded_from_cache:
        text += f" ({found.loaded_from_cache} more cached)"
    return text


def save(model: Model, images: NDArray[Any], scores: NDArray[Any], place: Path) -> str:
    """Save the model, load it again and compare; returns where it is."""
    path = model.save(place / "digits.safetensors")
    again: Model = Model.load(path)
    if not np.array_equal(again.predict(images), scores):
        raise DemoError(f"demo: the model saved at {path} answers differently after loading")
    return path


def draw_curve(history: History, path: Path) -> str:
    """The learning curve as a PNG; returns the path, or what to install for one."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return "not drawn: pip install 'ambos[train]' brings matplotlib"
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [epoch + 1 for epoch in history.epoch]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(epochs, history.history[name], marker="o", label="training")
        axes.plot(epochs, history.history[f"val_{name}"], marker="o", label="held out")
        axes.set_xlabel("epoch")
        axes.set_title(name)
        axes.grid(alpha=0.3)
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return str(path)


def picture(
    images: NDArray[Any], scores: NDArray[Any], labels: NDArray[Any], stream: TextIO
) -> str:
    """A few digits with their predicted and true labels, errors first; fits 80 columns.

    A terminal gets them coloured as well; what is right or wrong is also said in words.
    """
    guesses = scores.argmax(1)
    order = np.argsort(guesses == labels, kind="stable")[:SHOWN]
    colours = stream.isatty() and "NO_COLOR" not in os.environ
    lines = []
    for start in range(0, len(order), 4):
        row = order[start : start + 4]
        drawn = [draw(images[i, 0]) for i in row]
        if colours:
            drawn = [
                [f"{RIGHT if guesses[i] == labels[i] else WRONG}{line}{PLAIN}" for line in lines_of]
                for i, lines_of in zip(row, drawn, strict=True)
            ]
        lines += ["   ".join(parts) for parts in zip(*drawn, strict=True)]
        captions = [
            f"says {guesses[i]}, is {labels[i]}{'' if guesses[i] == labels[i] else ' ✗'}"
            for i in row
        ]
        lines += ["   ".join(f"{caption:<16}" for caption in captions).rstrip(), ""]
    return "\n".join(lines).rstrip("\n")


def draw(image: NDArray[Any]) -> list[str]:
    """An image twice enlarged, in half blocks: 8 lines of 16 columns for 8 x 8 pixels."""
    ink = enlarge(image) > 0.5
    return [
        "".join(" ▄▀█"[2 * a + b] for a, b in zip(upper, lower, strict=True))
        for upper, lower in zip(ink[::2], ink[1::2], strict=True)
    ]


def enlarge(image: NDArray[Any]) -> NDArray[Any]:
    """Twice the size, by linear interpolation (for drawing only)."""
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        count = image.shape[axis]
        before, middle, after = (np.take(padded, np.arange(i, i + count), axis) for i in range(3))
        pair = [0.25 * before + 0.75 * middle, 0.75 * middle + 0.25 * after]
        shape = [n * (2 if a == axis else 1) for a, n in enumerate(image.shape)]
        image = np.stack(pair, axis + 1).reshape(shape)
    return image
