"""How a user of ambos trains and asks a network: PyTorch's loop, with and without `am.jit`."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim
from bench.models.weights import batches_of, of
from bench.workload import Call, Data


def optimizer(net: Any, rule: str, lr: float) -> Any:
    if rule == "sgd":
        return optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    return {"adam": optim.Adam, "adamw": optim.AdamW}[rule](net.parameters(), lr=lr)


def load(net: Any, data: Data) -> Any:
    """`net` with the weights of `data`."""
    net.load_state_dict({name: am.tensor(value) for name, value in of(data).items()})
    return net


def train(net: Any, data: Data, rule: str, lr: float, jit: bool = False) -> Call:
    """One step a call; returns its loss."""
    rule_of = optimizer(load(net, data), rule, lr)
    batches = cycle([(am.tensor(x), am.tensor(y)) for x, y in batches_of(data)])

    def step(x: Any, y: Any) -> Any:
        logits = net(x)
        loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1))
        rule_of.zero_grad()
        loss.backward()
        rule_of.step()
        return loss

    run = am.jit(step) if jit else step
    return lambda: run(*next(batches)).item()


def infer(net: Any, data: Data, jit: bool = False) -> Call:
    """One forward pass a call; returns its logits."""
    load(net, data).eval()
    x = am.tensor(data["x"])
    run = am.jit(net) if jit else net

    def call() -> Any:
        with am.no_grad():
            y = run(x)
            am.evaluate(y)
        return y

    return call


__all__ = ["F", "infer", "load", "nn", "optimizer", "train"]
