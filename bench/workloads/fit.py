"""An epoch of `fit`: what Keras and Lightning take for the same batches, from the same weights.

A call is an epoch over rows in memory, in their order, and returns its mean loss; times are those
of one step. The twin "ambos bare" is our own step, recorded by `am.jit`, on batches that are
tensors already: what `fit` adds to it is its overhead.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from bench.models import lenet, mlp
from bench.models.weights import channels_last, of
from bench.workload import Call, Case, Data

SLOW = 1e-6  # a rate at which thousands of epochs change little; see steps.py
STEPS = 64


class Epoch(Case):
    """An epoch of `model`, one of `bench.models`, in batches of `batch` rows."""

    steps = STEPS
    compared = 2
    patience = 240.0

    def __init__(self, model: Any, batch: int) -> None:
        self.model, self.batch = model, batch
        short = model.__name__.rpartition(".")[2]
        self.name, self.title = f"{short}-{batch}", f"fit: {short}, batch {batch}, Adam, one step"
        self.flops = model.step_flops(batch)

    def data(self) -> Data:
        found = dict(self.model.step_data(self.batch, STEPS))
        x, y = found["x"], found["y"]
        return found | {"x": x.reshape(-1, *x.shape[2:]), "y": y.reshape(-1)}

    def with_ambos(self, data: Data) -> Call:
        import ambos as am
        from ambos import optim
        from bench.models.ambos_lane import F, load, nn

        model = am.Model(load(self.model.module(nn, F), data))
        model.compile(optim.Adam(lr=SLOW), "cross_entropy")
        options = {"batch_size": self.batch, "shuffle": False, "verbose": 0}
        return lambda: model.fit(data["x"], data["y"], **options).history["loss"][0]

    def with_ambos_bare(self, data: Data) -> Call:
        step, parts = self.recorded(data)
        return lambda: float(np.mean([loss.item() for loss in [step(*part) for part in parts]]))

    def recorded(self, data: Data) -> tuple[Any, list[tuple[Any, Any]]]:
        """Our jitted step, and the batches as tensors."""
        import ambos as am
        from bench.models.ambos_lane import F, load, nn, optimizer

        net = load(self.model.module(nn, F), data)
        rule = optimizer(net, "adam", SLOW)

        @am.jit
        def step(x: Any, y: Any) -> Any:
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            rule.step()
            rule.zero_grad()
            return loss

        return step, [(am.tensor(x), am.tensor(y)) for x, y in self._parts(data)]

    def with_keras(self, data: Data) -> Call:
        os.environ.setdefault("KERAS_BACKEND", "jax")
        import keras

        weights, x = channels_last(dict(of(data))), data["x"]
        if x.ndim == 4:
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        model = keras.Sequential([keras.Input(x.shape[1:]), *self._layers(keras.layers)])
        model.set_weights(list(weights.values()))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(SLOW, epsilon=1e-8), loss)
        options = {"batch_size": self.batch, "shuffle": False, "verbose": 0}
        return lambda: model.fit(x, data["y"], **options).history["loss"][0]

    def _layers(self, layers: Any) -> list[Any]:
        if self.model is mlp:
            return [layers.Dense(mlp.HIDDEN, activation="relu"), layers.Dense(mlp.CLASSES)]
        return [
            layers.Conv2D(6, 5, padding="same", activation="relu"), layers.MaxPooling2D(2),
            layers.Conv2D(16, 5, activation="relu"), layers.MaxPooling2D(2),
            layers.Permute((3, 1, 2)), layers.Flatten(),  # PyTorch's order of features
            layers.Dense(120, activation="relu"), layers.Dense(84, activation="relu"),
            layers.Dense(lenet.CLASSES),
        ]  # fmt: skip

    def with_lightning(self, data: Data) -> Call:
        import lightning
        import torch

        from bench.models.torch_lane import F, load, nn

        net = load(self.model.module(nn, F), data)

        class Module(lightning.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.net = net
                self.losses: list[Any] = []
                self.rule = torch.optim.Adam(net.parameters(), lr=SLOW)

            def training_step(self, batch: Any, number: int) -> Any:
                x, y = batch
                loss = F.cross_entropy(self.net(x), y)
                self.losses.append(loss.detach())
                return loss

            def configure_optimizers(self) -> Any:
                return self.rule

        rows = torch.utils.data.TensorDataset(torch.tensor(data["x"]), torch.tensor(data["y"]))
        loader = torch.utils.data.DataLoader(rows, batch_size=self.batch)
        module = Module()
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
                 "enable_model_summary": False}  # fmt: skip

        def call() -> float:
            module.losses = []
            lightning.Trainer(max_epochs=1, accelerator="cpu", **quiet).fit(module, loader)
            return torch.stack(module.losses).mean().item()

        return call

    def _parts(self, data: Data) -> list[tuple[Any, Any]]:
        x, y, size = data["x"], data["y"], self.batch
        return [(x[n : n + size], y[n : n + size]) for n in range(0, len(x), size)]


CASES = [Epoch(mlp, 32), Epoch(lenet, 64)]
