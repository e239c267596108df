"""How a user of PyTorch trains and asks a network: channels last, fused optimizers, compile."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn, optim

from bench.models.weights import batches_of, of
from bench.workload import Call, Data


def optimizer(net: Any, rule: str, lr: float) -> Any:
    if rule == "sgd":
        return optim.SGD(net.parameters(), lr=lr, momentum=0.9, fused=True)
    made = {"adam": optim.Adam, "adamw": optim.AdamW}[rule]
    return made(net.parameters(), lr=lr, fused=True)


def tensor(value: Any) -> torch.Tensor:
    """Images (four axes) lie channels last, as oneDNN likes them."""
    made = torch.from_numpy(value.copy())
    return made.contiguous(memory_format=torch.channels_last) if made.ndim == 4 else made


def load(net: Any, data: Data) -> Any:
    """`net` with the weights of `data`."""
    net.load_state_dict({name: torch.from_numpy(v) for name, v in of(data).items()})
    return net.to(memory_format=torch.channels_last)


def train(net: Any, data: Data, rule: str, lr: float, compile: bool = False) -> Call:
    """One step a call; returns its loss."""
    rule_of = optimizer(load(net, data), rule, lr)
    batches = cycle([(tensor(x), torch.from_numpy(y)) for x, y in batches_of(data)])

    def loss_of(x: Any, y: Any) -> Any:
        logits = net(x)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), y.view(-1))

    run = torch.compile(loss_of) if compile else loss_of

    def call() -> float:
        loss = run(*next(batches))
        rule_of.zero_grad(set_to_none=True)
        loss.backward()
        rule_of.step()
        return float(loss.item())

    return call


def infer(net: Any, data: Data, way: str = "eager") -> Call:
    """One forward pass a call; returns its logits. `way`: eager, frozen (TorchScript), compile."""
    x = tensor(data["x"])
    run = load(net, data).eval()
    if way == "frozen":
        with torch.inference_mode():
            run = torch.jit.optimize_for_inference(torch.jit.trace(run, x))
    elif way == "compile":
        # Freezing folds normalisation into weights and packs them beforehand.
        run = torch.compile(run, options={"freezing": True})

    def call() -> Any:
        with torch.inference_mode(way != "compile"), torch.no_grad():
            return run(x)

    return call


__all__ = ["F", "infer", "load", "nn", "optimizer", "tensor", "train"]
