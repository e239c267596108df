"""A GPT that writes Python, character by character, after reading the standard library.

python examples/char_gpt.py [--steps 1000] [--prompt "def "]
"""

from __future__ import annotations

import argparse
import sysconfig
import time
from collections import Counter
from pathlib import Path

import numpy as np

import ambos as am
import ambos.nn.functional as F
from ambos import models, nn, optim

LENGTH, BATCH = 128, 16
SIZES = {"n_embd": 128, "n_layer": 4, "n_head": 4, "n_positions": LENGTH}
NO_DROPOUT = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
RATE, WARMUP, DECAY, CLIP = 2e-3, 100, 0.1, 1.0


class Text:
    """The modules of the standard library as numbers: nine tenths to learn from, the rest to check
    on. Characters that are rare become one."""

    def __init__(self, most: int = 4_000_000) -> None:
        folder = Path(sysconfig.get_path("stdlib"))
        files = sorted(folder.glob("*.py"))
        text = "\n".join(file.read_text("utf-8", errors="ignore") for file in files)[:most]
        common = [letter for letter, count in Counter(text).most_common() if count >= 100]
        self.letters = "".join(sorted(common)) + "\N{REPLACEMENT CHARACTER}"
        self.number = {letter: number for number, letter in enumerate(self.letters)}
        rare = len(self.letters) - 1
        numbers = np.array([self.number.get(letter, rare) for letter in text])
        cut = len(numbers) * 9 // 10
        self.train, self.check = numbers[:cut], numbers[cut:]

    def batch(self, part: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """(BATCH, LENGTH + 1) pieces from anywhere."""
        starts = generator.integers(0, len(part) - LENGTH - 1, BATCH)
        return part[starts[:, None] + np.arange(LENGTH + 1)]

    def decode(self, numbers: list[int]) -> str:
        return "".join(self.letters[number] for number in numbers)


def loss_of(model: nn.Module, pieces: am.Tensor) -> am.Tensor:
    """How surprised the model is by each next letter, in nats."""
    logits = model(pieces[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), pieces[:, 1:].flatten())


class Training:
    """A model, its optimizer and a jitted step."""

    def __init__(self, text: Text, steps: int) -> None:
        self.text = text
        self.model = models.gpt2(vocab_size=len(text.letters), **SIZES, **NO_DROPOUT)
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95), weight_decay=DECAY)
        self.schedule = optim.lr_scheduler.warmup_cosine(self.optimizer, WARMUP, steps)
        self.numbers = np.random.default_rng(0)
        self.run, self.ask = am.jit(self._run), am.jit(self._ask)

    def _run(self, pieces: am.Tensor) -> am.Tensor:
        loss = loss_of(self.model, pieces)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        return loss

    def _ask(self, pieces: am.Tensor) -> am.Tensor:
        with am.no_grad():
            return loss_of(self.model, pieces)

    def step(self) -> float:
        loss = self.run(am.tensor(self.text.batch(self.text.train, self.numbers))).item()
        self.schedule.step()
        return loss

    def validate(self, batches: int = 40) -> float:
        """The loss on text that was not learnt, always the same pieces."""
        numbers = np.random.default_rng(1)
        pieces = (self.text.batch(self.text.check, numbers) for _ in range(batches))
        return float(np.mean([self.ask(am.tensor(piece)).item() for piece in pieces]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--prompt", default="def ")
    options = parser.parse_args()
    am.manual_seed(0)
    text = Text()
    training = Training(text, options.steps)
    count = sum(parameter.numel() for parameter in training.model.parameters())
    print(f"{len(text.train):,} letters to learn from, {count:,} parameters")
    start = time.perf_counter()
    for step in range(1, options.steps + 1):
        loss = training.step()
        if step % 100 == 0 or step == options.steps:
            print(f"step {step:5d}   loss {loss:.3f}   validation {training.validate():.3f}   "
                  f"{time.perf_counter() - start:.0f} s")  # fmt: skip
    prompt = am.tensor([[text.number[letter] for letter in options.prompt]])
    room = LENGTH - prompt.shape[1]
    said = training.model.eval().generate(prompt, room, do_sample=True, temperature=0.8)
    print(text.decode(said[0].tolist()))


if __name__ == "__main__":
    main()
