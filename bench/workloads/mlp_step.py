"""One training step of a small network, where overhead decides: 784-128-10, batch 32, Adam.

A call is one epoch over 64 batches and returns its mean loss, so the twins agree only if their
initialisation, loss, gradients and updates all do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.workload import Call, Data, Workload

INPUTS, HIDDEN, CLASSES, BATCH, STEPS = 784, 128, 10, 32, 64
RATE = 1e-3

WORKLOAD = Workload(
    title=f"MLP {INPUTS}-{HIDDEN}-{CLASSES}, batch {BATCH}, Adam, one training step",
    # Forward and weight gradients of both layers, the input gradient of the second. No bytes:
    # parameters and moments (1.2 MB) may stay in a cache from step to step.
    flops=2.0 * BATCH * (2 * INPUTS * HIDDEN + 3 * HIDDEN * CLASSES),
    steps=STEPS,
    tolerance=1e-4,
)


def data() -> Data:
    generator = np.random.RandomState(0)

    def uniform(fan_in: int, *shape: int) -> np.ndarray:
        return (generator.uniform(-1, 1, shape) / fan_in**0.5).astype(np.float32)

    return {
        "x": generator.rand(STEPS * BATCH, INPUTS).astype(np.float32),
        "y": generator.randint(0, CLASSES, STEPS * BATCH).astype(np.int64),
        "0.weight": uniform(INPUTS, HIDDEN, INPUTS),
        "0.bias": uniform(INPUTS, HIDDEN),
        "2.weight": uniform(HIDDEN, CLASSES, HIDDEN),
        "2.bias": uniform(HIDDEN, CLASSES),
    }


def batches(data: Data, wrap: Any) -> list[tuple[Any, Any]]:
    starts = range(0, STEPS * BATCH, BATCH)
    return [(wrap(data["x"][i : i + BATCH]), wrap(data["y"][i : i + BATCH])) for i in starts]


def weights(data: Data, wrap: Any) -> dict[str, Any]:
    return {name: wrap(value) for name, value in data.items() if "." in name}


def with_ambos_loop(data: Data) -> Call:
    import ambos as am
    import ambos.nn.functional as F
    from ambos import nn, optim

    net = nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))
    net.load_state_dict(weights(data, am.tensor))
    optimizer = optim.Adam(net.parameters(), lr=RATE)
    epoch = batches(data, am.tensor)

    def call() -> float:
        losses = []
        for x, y in epoch:
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return sum(losses) / STEPS

    return call


def with_ambos_fit(data: Data) -> Call:
    import ambos as am
    from ambos import nn, optim

    net = nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))
    net.load_state_dict(weights(data, am.tensor))
    model = am.Model(net)
    model.compile(optimizer=optim.Adam(lr=RATE), loss="cross_entropy")
    x, y = data["x"], data["y"]

    def call() -> float:
        history = model.fit(x, y, batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
        return float(history.history["loss"][0])

    return call


def with_torch(data: Data) -> Call:
    return torch_loop(data, fused=False)


def with_torch_fused(data: Data) -> Call:
    return torch_loop(data, fused=True)


def torch_loop(data: Data, fused: bool) -> Call:
    import torch
    import torch.nn.functional as F
    from torch import nn, optim

    net = nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))
    net.load_state_dict(weights(data, torch.from_numpy))
    optimizer = optim.Adam(net.parameters(), lr=RATE, fused=fused)
    epoch = batches(data, torch.from_numpy)

    def call() -> float:
        losses = []
        for x, y in epoch:
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return sum(losses) / STEPS

    return call


def with_jax(data: Data) -> Call:
    import jax
    import jax.numpy as jnp

    parameters = weights(data, jnp.asarray)
    zeros = {name: jnp.zeros_like(value) for name, value in parameters.items()}
    state = [parameters, zeros, zeros, jnp.float32(0)]
    epoch = batches(data, jnp.asarray)

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        hidden = jax.nn.relu(x @ p["0.weight"].T + p["0.bias"])
        logits = jax.nn.log_softmax(hidden @ p["2.weight"].T + p["2.bias"])
        return -jnp.take_along_axis(logits, y[:, None], axis=1).mean()

    @jax.jit
    def step(p: Any, m: Any, v: Any, t: Any, x: Any, y: Any) -> Any:
        loss, g = jax.value_and_grad(loss_of)(p, x, y)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate, scale = RATE / (1 - 0.9**t), 1 - 0.999**t
        p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v / scale) + 1e-8), p, m, v)
        return p, m, v, t, loss

    def call() -> float:
        losses = []
        for x, y in epoch:
            *state[:], loss = step(*state, x, y)
            losses.append(loss)
        return float(jnp.stack(losses).mean())

    return call
