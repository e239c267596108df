"""`examples/char_gpt.py` beside the same training in PyTorch: the same weights to begin with, the
same batches, turns of 50 steps each so that both see the same machine.

    AMBOS_THREADS=1 python -m examples.twins.char_gpt_torch [--steps 1000] [--compile]
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

import ambos as am
from examples.char_gpt import CLIP, DECAY, LENGTH, RATE, SIZES, WARMUP, Text, Training

WIDTH, HEADS, LAYERS = SIZES["n_embd"], SIZES["n_head"], SIZES["n_layer"]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.c_attn, self.c_proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.c_fc, self.c_out = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in self.c_attn(self.ln_1(x)).chunk(3, -1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(mixed.transpose(1, 2).flatten(2))
        return x + self.c_out(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, words: int) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(words, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.h = nn.ModuleList([Block() for _ in range(LAYERS)])
        self.ln_f = nn.LayerNorm(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.wte(x) + self.wpe.weight[: x.shape[1]]
        for block in self.h:
            y = block(y)
        return self.ln_f(y) @ self.wte.weight.T

    def take_over(self, state: dict[str, Any]) -> None:
        """The weights of ours, whose matrices lie the other way round."""
        names = {"attn.c_attn": "c_attn", "attn.c_proj": "c_proj", "mlp.c_fc": "c_fc",
                 "mlp.c_proj": "c_out"}  # fmt: skip
        found = {}
        for key, value in state.items():
            name, numbers = key.removeprefix("transformer."), value.numpy()
            for theirs, here in names.items():
                if theirs in name:
                    name, numbers = name.replace(theirs, here), numbers.T
            if name != "lm_head.weight":
                found[name] = torch.tensor(numbers)
        self.load_state_dict(found)


class Twin:
    """The training of `Training`, as a user of PyTorch writes it."""

    def __init__(self, text: Text, state: dict[str, Any], steps: int, compile: bool) -> None:
        self.text = text
        self.model = GPT(len(text.letters))
        self.model.take_over(state)
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(
            groups, lr=RATE, betas=(0.9, 0.95), weight_decay=DECAY, fused=True
        )
        self.schedule = SequentialLR(
            self.optimizer,
            [
                LinearLR(self.optimizer, start_factor=1e-3, total_iters=WARMUP),
                CosineAnnealingLR(self.optimizer, steps - WARMUP),
            ],
            milestones=[WARMUP],
        )
        self.numbers = np.random.default_rng(0)
        self.loss_of = torch.compile(self._loss_of) if compile else self._loss_of

    def _loss_of(self, pieces: torch.Tensor) -> torch.Tensor:
        logits = self.model(pieces[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), pieces[:, 1:].flatten())

    def step(self) -> float:
        pieces = torch.from_numpy(self.text.batch(self.text.train, self.numbers))
        loss = self.loss_of(pieces)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.schedule.step()
        return float(loss.item())

    def validate(self, batches: int = 40) -> float:
        numbers = np.random.default_rng(1)
        pieces = (self.text.batch(self.text.check, numbers) for _ in range(batches))
        with torch.no_grad():
            return float(np.mean([self.loss_of(torch.from_numpy(p)).item() for p in pieces]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--compile", action="store_true", help="torch.compile for the twin")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("AMBOS_THREADS", torch.get_num_threads())))
    am.manual_seed(0)
    text = Text()
    ours = Training(text, options.steps)
    theirs = Twin(text, ours.model.state_dict(), options.steps, options.compile)
    seconds = {"ambos": 0.0, "PyTorch": 0.0}
    for turn in range(0, options.steps, 50):
        count = min(50, options.steps - turn)
        said = []
        for name, training in (("ambos", ours), ("PyTorch", theirs)):
            start = time.perf_counter()
            for _ in range(count):
                training.step()
            seconds[name] += time.perf_counter() - start
            said.append(f"{name} {training.validate():.4f} in {seconds[name]:.1f} s")
        print(f"step {turn + count:5d}   validation: {',  '.join(said)},  "
              f"time {seconds['ambos'] / seconds['PyTorch']:.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
