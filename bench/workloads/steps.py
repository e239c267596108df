"""Whole training steps: forward, backward and update, from the same weights in every framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bench.models import bert, gpt, lenet, mlp, mobilenet, recurrent, resnet, unet, vit
from bench.models.recurrent import GRU, LSTM, Unit
from bench.models.resnet import RESNET18
from bench.workload import Call, Case, Data

# Thousands of steps on the same few batches: at a usual rate the small networks would learn them
# by heart, units would die and averages become subnormal, which slows every framework differently.
SLOW = 1e-6
COMPILES_LONG = "torch.compile takes minutes; see the smaller batch"


class Step(Case):
    """A step of training a network of `bench.models`; a call does one and returns its loss."""

    starts = True
    compared = 3  # the losses that follow tell wrong gradients and updates
    patience = 240.0
    xla = True  # whether TensorFlow is faster with it

    def __init__(
        self, name: str, title: str, data: Callable[[], Data], flops: float,
        module: Callable[[Any, Any], Any], forward: Callable[[Any, Any], Any], rule: str, lr: float,
        **facts: Any,
    ) -> None:  # fmt: skip
        self.name, self.title, self.make, self.flops = name, title, data, flops
        self.module, self.forward, self.rule, self.lr = module, forward, rule, lr
        without: Mapping[str, str] = facts.pop("without", {})
        self.without = without
        for fact, value in facts.items():
            setattr(self, fact, value)

    def data(self) -> Data:
        return self.make()

    def with_ambos(self, data: Data) -> Call:
        from bench.models.ambos_lane import F, nn, train

        return train(self.module(nn, F), data, self.rule, self.lr, jit=True)

    def with_ambos_eager(self, data: Data) -> Call:
        from bench.models.ambos_lane import F, nn, train

        return train(self.module(nn, F), data, self.rule, self.lr)

    def with_torch(self, data: Data) -> Call:
        from bench.models.torch_lane import F, nn, train

        return train(self.module(nn, F), data, self.rule, self.lr)

    def with_torch_compile(self, data: Data) -> Call:
        from bench.models.torch_lane import F, nn, train

        return train(self.module(nn, F), data, self.rule, self.lr, compile=True)

    def with_jax(self, data: Data) -> Call:
        from bench.models.jax_lane import train

        return train(self.forward, data, self.rule, self.lr)

    def with_tensorflow(self, data: Data) -> Call:
        from bench.models.tensorflow_lane import train

        return train(self.forward, data, self.rule, self.lr, xla=self.xla)


def mlp_step(batch: int, **facts: Any) -> Step:
    return Step(
        f"mlp_step-{batch}", f"MLP 784-128-10, batch {batch}, Adam",
        partial(mlp.step_data, batch), mlp.step_flops(batch), mlp.module, mlp.forward,
        "adam", SLOW, **facts,
    )  # fmt: skip


def lenet_step(batch: int, **facts: Any) -> Step:
    return Step(
        f"lenet_step-{batch}", f"LeNet-5 on 28x28, batch {batch}, Adam",
        partial(lenet.step_data, batch), lenet.step_flops(batch), lenet.module, lenet.forward,
        "adam", SLOW, xla=False, **facts,
    )  # fmt: skip


def resnet18_step(batch: int, **facts: Any) -> Step:
    return Step(
        f"resnet18_step-{batch}", f"ResNet-18 on 32x32, batch {batch}, SGD with momentum",
        partial(resnet.step_data, RESNET18, batch), resnet.step_flops(RESNET18, batch),
        partial(resnet.module, RESNET18), partial(resnet.forward, RESNET18), "sgd", 0.01, **facts,
    )  # fmt: skip


def gpt_step(batch: int, **facts: Any) -> Step:
    return Step(
        f"gpt_step-{batch}", f"GPT, 11M parameters, {batch}x256 tokens, AdamW",
        partial(gpt.step_data, batch), gpt.step_flops(batch), gpt.module, gpt.forward,
        "adamw", 3e-4, **facts,
    )  # fmt: skip


def recurrent_step(unit: Unit, batch: int, **facts: Any) -> Step:
    return Step(
        f"{unit.name}_step-{batch}", f"{unit.layer} 256 wide, 64 long, batch {batch}, Adam",
        partial(recurrent.step_data, unit, batch), recurrent.step_flops(unit, batch),
        partial(recurrent.module, unit), partial(recurrent.forward, unit), "adam", 1e-3, **facts,
    )  # fmt: skip


def bert_step(batch: int, **facts: Any) -> Step:
    return Step(
        f"bert_step-{batch}", f"BERT 4 layers 256 wide, {batch}x128 tokens, AdamW",
        partial(bert.step_data, batch), bert.step_flops(batch), bert.module, bert.forward,
        "adamw", 1e-4, **facts,
    )  # fmt: skip


def vit_step(batch: int, **facts: Any) -> Step:
    return Step(
        f"vit_step-{batch}", f"ViT 6 layers 192 wide, 32x32, batch {batch}, AdamW",
        partial(vit.step_data, batch), vit.step_flops(batch), vit.module, vit.forward,
        "adamw", 1e-4, **facts,
    )  # fmt: skip


def unet_step(batch: int, **facts: Any) -> Step:
    return Step(
        f"unet_step-{batch}", f"U-Net 16 to 128 channels, 64x64, batch {batch}, Adam",
        partial(unet.step_data, batch), unet.step_flops(batch), unet.module, unet.forward,
        "adam", 1e-4, **facts,
    )  # fmt: skip


def mobilenetv2_step(batch: int, **facts: Any) -> Step:
    return Step(
        f"mobilenetv2_step-{batch}", f"MobileNetV2 on 96x96, batch {batch}, SGD with momentum",
        partial(mobilenet.step_data, batch), mobilenet.step_flops(batch), mobilenet.module,
        mobilenet.forward, "sgd", 1e-4, **facts,  # at 1e-2 rounding alone parts the losses
    )  # fmt: skip


CASES = [
    mlp_step(32),
    mlp_step(256, starts=False),
    lenet_step(64),
    resnet18_step(16),
    resnet18_step(64, starts=False, without={"torch compile": COMPILES_LONG}),
    gpt_step(4),
    recurrent_step(LSTM, 32, without={"torch compile": "nn.LSTM stays one call to the kernel"}),
    recurrent_step(GRU, 32, without={"torch compile": "nn.GRU stays one call to the kernel"}),
    bert_step(8),
    vit_step(32),
    unet_step(4),
    mobilenetv2_step(16),
]
