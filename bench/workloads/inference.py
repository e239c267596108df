"""Answers of networks: images, the next token with a key-value cache, and a call's latency."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bench.models import gpt, gpt_decode, gpt_generate, mlp, mobilenet, resnet
from bench.models.resnet import RESNET50
from bench.models.weights import num_parameters
from bench.workload import Call, Case, Data


class Inference(Case):
    """One forward pass of a network of `bench.models`; a call returns its logits."""

    tolerance = 1e-4
    patience = 240.0
    xla = False  # whether TensorFlow is faster with it

    def __init__(
        self, name: str, title: str, data: Callable[[], Data], flops: float,
        module: Callable[[Any, Any], Any], forward: Callable[[Any, Any], Any], **facts: Any,
    ) -> None:  # fmt: skip
        self.name, self.title, self.make, self.flops = name, title, data, flops
        self.module, self.forward = module, forward
        for fact, value in facts.items():
            setattr(self, fact, value)

    def data(self) -> Data:
        return self.make()

    def with_ambos(self, data: Data) -> Call:
        from bench.models.ambos_lane import F, infer, nn

        return infer(self.module(nn, F), data, jit=True)

    def with_ambos_eager(self, data: Data) -> Call:
        from bench.models.ambos_lane import F, infer, nn

        return infer(self.module(nn, F), data)

    def with_torch(self, data: Data) -> Call:
        from bench.models.torch_lane import F, infer, nn

        return infer(self.module(nn, F), data)

    def with_torch_frozen(self, data: Data) -> Call:
        from bench.models.torch_lane import F, infer, nn

        return infer(self.module(nn, F), data, "frozen")

    def with_torch_compile(self, data: Data) -> Call:
        from bench.models.torch_lane import F, infer, nn

        return infer(self.module(nn, F), data, "compile")

    def with_jax(self, data: Data) -> Call:
        from bench.models.jax_lane import infer

        return infer(self.forward, data)

    def with_tensorflow(self, data: Data) -> Call:
        from bench.models.tensorflow_lane import infer

        return infer(self.forward, data, self.xla)


class Decode(Case):
    """One token of the GPT; the cache fills up from call to call."""

    name = "gpt_infer"
    title = "GPT, 11M parameters, one token, key-value cache of 256 half full"
    patience = 240.0
    middle = (gpt_decode.FIRST + gpt_decode.LAST) // 2
    flops, bytes = gpt.infer_flops(middle), gpt.infer_bytes(middle)

    def data(self) -> Data:
        return gpt.infer_data()

    def with_ambos(self, data: Data) -> Call:
        return gpt_decode.with_ambos(data, jit=True)

    def with_ambos_eager(self, data: Data) -> Call:
        return gpt_decode.with_ambos(data)

    def with_torch(self, data: Data) -> Call:
        return gpt_decode.with_torch(data)

    def with_torch_compile(self, data: Data) -> Call:
        return gpt_decode.with_torch_compile(data)

    def with_jax(self, data: Data) -> Call:
        return gpt_decode.with_jax(data)

    def with_tensorflow(self, data: Data) -> Call:
        return gpt_decode.with_tensorflow(data)


class Generate(Case):
    """A prompt continued; times are those of a token."""

    name = "gpt_generate"
    title = f"GPT-2, 11M parameters, {gpt_generate.NEW} tokens after {gpt_generate.PROMPT}"
    patience = 240.0
    steps = gpt_generate.NEW
    flops = gpt_generate.flops() / gpt_generate.NEW

    def data(self) -> Data:
        return gpt_generate.data()

    def with_ambos(self, data: Data) -> Call:
        return gpt_generate.with_ambos(data)

    def with_torch(self, data: Data) -> Call:
        return gpt_generate.with_torch(data)


def resnet50_infer(batch: int) -> Inference:
    data = partial(resnet.infer_data, RESNET50, batch)
    return Inference(
        f"resnet50_infer-{batch}", f"ResNet-50 on 224x224, batch {batch}", data,
        resnet.flops(RESNET50, batch)[1], partial(resnet.module, RESNET50),
        partial(resnet.forward, RESNET50), bytes=4.0 * num_parameters(resnet.weights(RESNET50)),
    )  # fmt: skip


CASES = [
    resnet50_infer(1),
    resnet50_infer(8),
    Inference(
        "mobilenetv2_infer", "MobileNetV2 on 224x224, batch 1", partial(mobilenet.infer_data, 1),
        mobilenet.forward_flops(1), mobilenet.module, mobilenet.forward,
    ),
    Decode(),
    Generate(),
    Inference(
        "mlp_infer", "MLP 784-128-10, batch 1: the latency of a call", partial(mlp.infer_data, 1),
        mlp.forward_flops(1), mlp.module, mlp.forward, xla=True,
    ),
]  # fmt: skip
