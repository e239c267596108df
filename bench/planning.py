"""What a size that a graph has not met costs: `python -m bench.planning`.

A step meets sizes one after the other. Each is planned alone (as it was before there were
patterns), then with the sizes before it: the third leaves open what is different, later ones fill
that in. No kernel is compiled, nothing is read from disk. Per size the shortest time over some
rounds and the calls of functions are shown, of planning alone; a later step takes `known`.
"""

from __future__ import annotations

import argparse
import cProfile
import importlib
import pstats
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import ambos as am
from ambos import optim
from ambos.core.config import config
from ambos.tensor import fitting
from bench.models import lenet, mlp, resnet
from bench.models.ambos_lane import F, nn

Step = Callable[[int], float]
realizing: Any = importlib.import_module("ambos.tensor.realize")


def trained(net: Any, rule: Any, batch: Callable[[int], tuple[Any, Any]]) -> Step:
    """A training step on data of a certain size."""
    optimizer = rule(net.parameters(), lr=1e-3)

    def step(size: int) -> float:
        x, y = batch(size)
        logits = net(am.tensor(x))
        loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), am.tensor(y).reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def rows(*shape: int) -> Callable[[int], tuple[Any, Any]]:
    return lambda n: (np.ones((n, *shape), "f4"), np.arange(n) % 10)


class Texts(nn.Module):
    """A classifier of texts: the last state of an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.lstm = nn.Embedding(100, 32), nn.LSTM(32, 64, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(self.words(x))[0][:, -1])


class Block(nn.Module):
    """Words, attention and a perceptron, as in a GPT."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(100, 64), nn.Linear(64, 100)
        self.norms = nn.ModuleList([nn.LayerNorm(64), nn.LayerNorm(64)])
        self.attend, self.out = nn.Linear(64, 192), nn.Linear(64, 64)
        self.up, self.down = nn.Linear(64, 256), nn.Linear(256, 64)

    def forward(self, x: Any) -> Any:
        x = self.words(x)
        parts = self.attend(self.norms[0](x)).chunk(3, -1)
        q, k, v = (part.reshape(*x.shape[:2], 4, 16).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
        x = x + self.out(mixed.reshape(x.shape))
        return self.head(x + self.down(F.gelu(self.up(self.norms[1](x)))))


def tokens(batch: int, each: bool) -> Callable[[int], tuple[Any, Any]]:
    """Texts of a length, and a class each or for each word."""
    return lambda n: (np.ones((batch, n), int), np.zeros((batch, n) if each else batch, int))


CASES: dict[str, tuple[Callable[[], Step], tuple[int, ...]]] = {
    "mlp, batch": (lambda: trained(mlp.module(nn, F), optim.Adam, rows(784)), (32, 17, 24, 9, 21)),
    "lenet, batch": (lambda: trained(lenet.module(nn, F), optim.Adam, rows(1, 28, 28)),
                     (32, 17, 24, 20, 22)),
    "lstm, length": (lambda: trained(Texts(), optim.Adam, tokens(8, False)), (40, 42, 44, 60, 50)),
    "gpt block, length": (lambda: trained(Block(), optim.AdamW, tokens(4, True)),
                          (64, 49, 56, 40, 48)),
    "resnet18, batch": (lambda: trained(resnet.module(resnet.RESNET18, nn, F), optim.SGD,
                                        rows(3, 32, 32)), (4, 2, 3, 5, 6)),
}  # fmt: skip


class Watched:
    """Milliseconds and calls of everything that `realize.prepare` does."""

    def __init__(self) -> None:
        self.plain, self.profile = realizing.prepare, False
        self.found = 0.0

    def __call__(self, *args: Any) -> Any:
        profile = cProfile.Profile()
        start = time.perf_counter()
        if self.profile:
            profile.enable()
        plan = self.plain(*args)
        profile.disable()
        took = 1e3 * (time.perf_counter() - start)
        counted: Any = pstats.Stats(profile) if self.profile else None
        self.found += counted.total_calls if self.profile else took
        return plan


def forget() -> None:
    """Plans, here and on disk; kernels stay in memory."""
    realizing._plans = OrderedDict()
    fitting._forms.clear()
    config.cache_dir = Path(tempfile.mkdtemp())


def measure(step: Step, sizes: tuple[int, ...], rounds: int, watched: Watched) -> None:
    most = fitting.MAX_PATTERNS
    for size in sizes:  # kernels of each, and the state of the optimizer
        step(size), step(size)
    table: dict[str, list[float]] = {}
    for turn in range(rounds):
        for patterns in (0, most):
            fitting.MAX_PATTERNS, watched.profile = patterns, turn == 0
            forget()
            for place, size in enumerate(sizes):
                watched.found = 0.0
                step(size)
                what = "calls" if turn == 0 else "ms"
                seen = table.setdefault(f"{what} {bool(patterns)} {place}", [])
                seen.append(watched.found)
    known = [1e3 * took for _ in range(rounds) for took in [timed(step, sizes[-1])]]
    for place, size in enumerate(sizes):
        alone, open_ = (min(table[f"ms {kind} {place}"]) for kind in (False, True))
        calls = [min(table[f"calls {kind} {place}"]) for kind in (False, True)]
        print(
            f"  {size:4}  {alone:7.1f} -> {open_:6.1f} ms  {calls[0]:9.0f} -> {calls[1]:8.0f} calls"
        )
    print(f"  known {min(known):6.1f} ms, a whole step")


def timed(step: Step, size: int) -> float:
    start = time.perf_counter()
    step(size)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="cases whose name has this")
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    watched = realizing.prepare = Watched()
    for name, (make, sizes) in CASES.items():
        if options.only in name:
            print(name)
            measure(make(), sizes, options.rounds, watched)


if __name__ == "__main__":
    main()
