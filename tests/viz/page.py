"""TensorBoard's real page, looked at by hand: `make page`.

Writes logs of every kind, starts TensorBoard on them, and takes a picture of each of its tabs with
headless Chromium (`apt-get install chromium`). Not part of CI, where TensorBoard's readers test.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np

import ambos as am
from ambos import nn, optim

TABS = ("timeseries", "scalars", "images", "graphs", "distributions", "histograms", "text", "audio",
        "pr_curves", "hparams", "projector")  # fmt: skip


def write(folder: Path) -> None:
    """A few runs with something for each tab."""
    random = np.random.default_rng(0)
    for number, lr in enumerate((0.3, 0.1, 0.03)):
        with am.viz.SummaryWriter(folder / f"run{number}") as writer:
            _train(writer, lr, random)
            settings = {"lr": lr, "optimizer": "sgd", "nesterov": number == 1}
            judged = {"hparam/accuracy": 0.9 - lr / 3, "hparam/loss": lr}
            writer.add_hparams(settings, judged, run_name=".")
    with am.viz.SummaryWriter(folder / "run0", filename_suffix=".more") as writer:
        _media(writer, random)


def _train(writer: am.viz.SummaryWriter, lr: float, random: np.random.Generator) -> None:
    for step in range(60):
        noise = random.normal() * 0.02
        writer.add_scalar("loss", math.exp(-step * lr / 4) + noise, step)
        writer.add_scalar("accuracy/train", 1 - math.exp(-step * lr / 3) / 2 - noise, step)
        writer.add_scalars(
            "both", {"train": math.exp(-step / 9), "valid": math.exp(-step / 14)}, step
        )
        if step % 6 == 0:
            writer.add_histogram("weight", random.normal(step / 30, 1, 2000), step)


def _media(writer: am.viz.SummaryWriter, random: np.random.Generator) -> None:
    x = np.linspace(0, 1, 64)
    ramp = np.stack(np.broadcast_arrays(x[:, None], x[None, :], 0.5))
    writer.add_image("ramp", am.tensor(ramp.astype("float32")), 0)
    digits = am.data.load_digits() if hasattr(am.data, "load_digits") else None
    pictures = random.random((20, 1, 8, 8)) if digits is None else digits
    writer.add_images("pictures", pictures, 0)
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(4, 3))
    axes.plot(x, np.sin(9 * x))
    writer.add_figure("figure", figure, 0)
    t = np.arange(22050) / 22050
    writer.add_audio("tone", 0.5 * np.sin(2 * np.pi * 440 * t) * np.exp(-3 * t), 0, 22050)
    writer.add_text("note", "# A heading\n\nsome *words* and a table\n\n|a|b|\n|-|-|\n|1|2|", 0)
    labels = random.random(500) < 0.4
    for step in range(3):
        scores = np.clip(labels * 0.2 * (step + 1) + random.random(500) * 0.6, 0, 1)
        writer.add_pr_curve("curve", labels, scores, step)
    middles = random.normal(size=(5, 16)) * 3
    groups = np.repeat(np.arange(5), 30)
    points = middles[groups] + random.normal(size=(150, 16))
    colours = np.broadcast_to(random.random((5, 3))[groups][:, :, None, None], (150, 3, 12, 12))
    writer.add_embedding(points, [[f"group {g}", n] for n, g in enumerate(groups)], colours,
                         tag="points", metadata_header=["group", "number"])  # fmt: skip
    writer.add_graph(am.models.resnet18(num_classes=10).eval(), am.ShapeDtype((1, 3, 32, 32)))
    with am.profile() as profile:
        net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        optimizer = optim.Adam(net.parameters())
        for _ in range(3):
            net(am.ones(32, 64)).sum().backward()
            optimizer.step()
    writer.add_profile(profile)


@contextlib.contextmanager
def serving(logs: Path) -> object:
    """TensorBoard's address while it runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(120):
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{address}/data/runs") as page,
            ):
                if b"run0" in page.read():
                    break
            time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait()


def shoot(address: str, target: Path, wait: int = 12000, size: str = "1400,900") -> None:
    """A picture of a page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or "google-chrome"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
               "--use-gl=swiftshader", "--enable-unsafe-swiftshader", f"--window-size={size}",
               f"--virtual-time-budget={wait}", f"--screenshot={target}", address]  # fmt: skip
    subprocess.run(command, check=True, timeout=180, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/page"))
    parser.add_argument("--tabs", nargs="*", default=TABS)
    options = parser.parse_args()
    logs = options.folder / "logs"
    if not logs.exists():
        write(logs)
    with serving(logs) as address:
        for tab in options.tabs:
            shoot(f"{address}/#{tab}", options.folder / f"{tab}.png")
            print(options.folder / f"{tab}.png")


if __name__ == "__main__":
    main()
