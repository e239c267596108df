"""TensorBoard's real page, looked at by hand: `make page`.

Writes logs of every kind, starts TensorBoard on them, and takes a picture of each of its tabs with
headless Chromium, by tornado (which comes with Jupyter). CI uses TensorBoard's readers instead.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import itertools
import json
import math
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ambos as am
from ambos import nn, optim

TABS = ("timeseries", "scalars", "images", "graphs", "distributions", "histograms", "text", "audio",
        "pr_curves", "hparams", "projector", "mesh", "custom_scalars")  # fmt: skip


def write(folder: Path) -> None:
    """A few runs with something for each tab."""
    random = np.random.default_rng(0)
    for number, lr in enumerate((0.3, 0.1, 0.03)):
        with am.viz.SummaryWriter(folder / f"run{number}") as writer:
            _train(writer, lr, random)
            settings = {"lr": lr, "optimizer": "sgd", "nesterov": number == 1}
            judged = {"hparam/accuracy": 0.9 - lr / 3, "hparam/loss": lr}
            writer.add_hparams(settings, judged, run_name=".")
    _fit(folder / "run3")
    with am.viz.SummaryWriter(folder / "run0", filename_suffix=".more") as writer:
        _media(writer, random)


def _fit(folder: Path) -> None:
    """What the callback writes."""
    (x, y), board = am.data.digits(), am.callbacks.TensorBoard(
        folder, histogram_freq=1, write_images=True, update_freq=10, profile_batch=(20, 22),
        write_steps_per_second=True,
    )  # fmt: skip
    layers = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)]
    model = am.Sequential(layers)
    model.compile("adam", "cross_entropy", metrics=["accuracy"])
    model.fit(x, y, epochs=5, validation_split=0.2, verbose=0, callbacks=[board])


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
    writer.add_images("digits", am.data.digits()[0][:24], 0)
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(4, 3))
    axes.plot(x, np.sin(9 * x))
    writer.add_figure("figure", figure, 0)
    moving = np.stack([np.roll(ramp, 6 * frame, 2) for frame in range(8)])
    writer.add_video("moving", moving[None].repeat(3, 0), 0)
    writer.add_image_with_boxes("found", ramp, [[5, 5, 30, 30], [20, 35, 60, 60]], 0, rescale=4,
                                labels=["cat", "dog"])  # fmt: skip
    corners = np.array([[[1, 1, 1], [-1, -1, 1], [1, -1, -1], [-1, 1, -1]]])
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 0, 255]]])
    writer.add_mesh(
        "body", corners, colours, np.array([[[0, 2, 3], [0, 3, 1], [0, 1, 2], [1, 3, 2]]])
    )
    writer.add_custom_scalars({"of a run": {"two": ["Multiline", ["loss", "accuracy/train"]]}})
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
def serving(logs: Path) -> Iterator[str]:
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


# Boxes of a graph that are opened before its picture is taken, by where their names are.
FIND = """
(() => {
  const all = (root, x, y) => [...root.querySelectorAll("*")].flatMap(e => {
    const at = e.getBoundingClientRect();
    return [[e, x + at.x + at.width / 2, y + at.y + at.height / 2],
      ...(e.shadowRoot ? all(e.shadowRoot, x, y) : []),
      ...(e.contentDocument ? all(e.contentDocument, x + at.x, y + at.y) : [])];
  });
  const found = all(document, 0, 0).find(
    ([e]) => e.tagName.toLowerCase() === "text" && e.textContent.trim().startsWith("%s"));
  return found ? found.slice(1) : null;
})()
"""
OPENED = {"graphs": ["ResNet", "layer4"]}


class Browser:
    """Headless Chromium, told what to do by its DevTools protocol."""

    def __init__(self, size: str = "1400,900") -> None:
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        names = ("chromium", "chromium-browser", "google-chrome")
        program = next(filter(None, map(shutil.which, names)))
        command = [program, "--headless", "--no-sandbox", "--hide-scrollbars",
                   "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
                   f"--window-size={size}", "--remote-debugging-port=0",
                   f"--user-data-dir={self.profile.name}", "about:blank"]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)  # fmt: skip
        place = Path(self.profile.name) / "DevToolsActivePort"
        for _ in range(100):
            if place.exists() and place.read_text().strip():
                break
            time.sleep(0.1)
        self.port = int(place.read_text().split()[0])

    async def shoot(self, address: str, target: Path, opened: Sequence[str], wait: float) -> None:
        """A picture of a page, after double clicks on some names."""
        from tornado.websocket import websocket_connect

        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/json/list") as found:
            page = next(p for p in json.load(found) if p["type"] == "page")
        socket = await websocket_connect(page["webSocketDebuggerUrl"], max_message_size=1 << 28)
        numbers = itertools.count(1)

        async def do(method: str, **params: object) -> dict[str, Any]:
            number = next(numbers)
            await socket.write_message(json.dumps({"id": number, "method": method,
                                                   "params": params}))  # fmt: skip
            while True:
                answer = json.loads(await socket.read_message() or "{}")
                if answer.get("id") == number:
                    return answer

        await do("Page.navigate", url="about:blank")  # the same page with another # loads nothing
        await do("Page.navigate", url=address)
        await asyncio.sleep(wait)
        for name in opened:
            found = await do("Runtime.evaluate", expression=FIND % name, returnByValue=True)
            place = found["result"]["result"]["value"]
            if place is None:
                print(f"{address}: nothing is called {name}")
                continue
            x, y = place
            for count in (1, 2):
                for kind in ("mousePressed", "mouseReleased"):
                    await do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left",
                             clickCount=count)  # fmt: skip
            await asyncio.sleep(3)
        answer = await do("Page.captureScreenshot", format="png")
        target.write_bytes(base64.b64decode(answer["result"]["data"]))
        socket.close()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.profile.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/page"))
    parser.add_argument("--tabs", nargs="*", default=TABS)
    parser.add_argument("--wait", type=float, default=6, help="seconds that a page has to load")
    options = parser.parse_args()
    logs = options.folder / "logs"
    if not logs.exists():
        write(logs)
    with serving(logs) as address:
        browser = Browser()
        try:
            for tab in options.tabs:
                target, opened = (
                    options.folder / f"{tab}.png",
                    OPENED.get(tab, []),
                )
                asyncio.run(browser.shoot(f"{address}/#{tab}", target, opened, options.wait))
                print(target)
        finally:
            browser.close()


if __name__ == "__main__":
    main()
