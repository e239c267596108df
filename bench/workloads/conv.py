"""The convolutions of ResNet-50 at 224 and depthwise ones of MobileNetV2, in all three passes.

Images and results lie channels-last, as they do inside a network that was asked for it: PyTorch's
best practice on a CPU, the native layout of JAX and TensorFlow, and what ambos makes of a chain.
TensorFlow runs without XLA here (the two were not compared). MLX has no twins of convolutions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.workload import Call, Case, Data, normal

BATCH = 8
PASSES = {"f": "forward", "x": "input gradient", "w": "weight gradient"}
# Channels in and out, window, stride, side of the image.
RESNET = [
    (3, 64, 7, 2, 224),
    (64, 64, 1, 1, 56), (64, 64, 3, 1, 56), (64, 256, 1, 1, 56), (256, 64, 1, 1, 56),
    (256, 128, 1, 1, 56), (128, 128, 3, 2, 56), (128, 512, 1, 1, 28), (256, 512, 1, 2, 56),
    (512, 128, 1, 1, 28), (128, 128, 3, 1, 28),
    (512, 256, 1, 1, 28), (256, 256, 3, 2, 28), (256, 1024, 1, 1, 14), (512, 1024, 1, 2, 28),
    (1024, 256, 1, 1, 14), (256, 256, 3, 1, 14),
    (1024, 512, 1, 1, 14), (512, 512, 3, 2, 14), (512, 2048, 1, 1, 7), (1024, 2048, 1, 2, 14),
    (2048, 512, 1, 1, 7), (512, 512, 3, 1, 7),
]  # fmt: skip
# Channels, stride, side.
DEPTHWISE = [(32, 1, 112), (96, 2, 112), (144, 1, 56), (576, 2, 14), (960, 1, 7)]
CACHE = 16 << 20  # bytes; less than that may stay in a cache from call to call


class Convolution(Case):
    """One pass of one layer; padding is half the window."""

    tolerance = 1e-4
    patience = 30.0

    def __init__(
        self, inputs: int, outputs: int, window: int, stride: int, side: int, which: str,
        groups: int = 1,
    ) -> None:  # fmt: skip
        self.stride, self.padding, self.groups, self.which = stride, window // 2, groups, which
        after = (side + 2 * self.padding - window) // stride + 1
        self.image = (BATCH, inputs, side, side)
        self.kernel = (outputs, inputs // groups, window, window)
        self.result = (BATCH, outputs, after, after)
        kind = "depthwise" if groups > 1 else "conv"
        label = f"{inputs}" if groups > 1 else f"{inputs}-{outputs}"
        self.name = f"{kind}{window}x{window}-{label}-{side}-s{stride}-{which}"
        self.title = (
            f"{kind} {window} x {window}, {inputs} to {outputs} channels, {side} x {side}, "
            f"stride {stride}, batch {BATCH}, {PASSES[which]}"
        )
        products = int(np.prod(self.kernel))
        self.flops = 2.0 * BATCH * after * after * products
        moved = 4.0 * (np.prod(self.image) + products + np.prod(self.result))
        self.bytes = float(moved) if moved > CACHE else 0.0

    def data(self) -> Data:
        """Images and results are (N, H, W, C) in memory, weights (O, I, H, W)."""
        fan_in = int(np.prod(self.kernel[1:]))
        found: dict[str, np.ndarray] = {}
        if self.which != "x":
            found["x"] = normal(0, *(self.image[i] for i in (0, 2, 3, 1)))
        if self.which != "w":
            found["w"] = normal(1, *self.kernel, scale=fan_in**-0.5)
        if self.which != "f":
            found["g"] = normal(2, *(self.result[i] for i in (0, 2, 3, 1)))
        return found

    def comparable(self, twin: str, arrays: list[np.ndarray], data: Data) -> list[np.ndarray]:
        """In PyTorch's order of axes."""
        if twin.split()[0] in ("ambos", "torch"):
            return arrays
        if self.which != "w":
            return [arrays[0].transpose(0, 3, 1, 2)]
        if twin == "tensorflow" and self.groups > 1:
            return [arrays[0].transpose(2, 3, 0, 1)]
        return [arrays[0].transpose(3, 2, 0, 1)]

    def with_ambos(self, data: Data) -> Call:
        import ambos as am
        import ambos.nn.functional as F

        found = {name: am.tensor(array) for name, array in data.items()}
        x = found["x"].permute(0, 3, 1, 2) if "x" in found else am.zeros(self.image)
        g = found["g"].permute(0, 3, 1, 2) if "g" in found else None
        w = found.get("w", am.zeros(self.kernel))
        variable = {"f": None, "x": x, "w": w}[self.which]
        if variable is not None:
            variable.requires_grad_()
        am.evaluate(*found.values())

        @am.jit
        def compute() -> am.Tensor:
            y = F.conv2d(x, w, stride=self.stride, padding=self.padding, groups=self.groups)
            return y if variable is None else am.autograd.grad(y, variable, g)[0]

        return compute

    def with_torch(self, data: Data) -> Call:
        import torch
        import torch.nn.functional as F

        def image(name: str, shape: tuple[int, ...]) -> torch.Tensor:
            found = torch.from_numpy(data[name]) if name in data else torch.empty(
                [shape[i] for i in (0, 2, 3, 1)])  # fmt: skip
            return found.permute(0, 3, 1, 2)

        layout = torch.channels_last
        x, g = image("x", self.image), image("g", self.result)
        w = torch.from_numpy(data["w"]) if "w" in data else torch.empty(self.kernel)
        w = w.contiguous(memory_format=layout)
        step, around = [self.stride] * 2, [self.padding] * 2
        if self.which == "f":
            run = lambda: F.conv2d(x, w, None, step, around, groups=self.groups)
            return torch.inference_mode()(run)
        mask = [self.which == "x", self.which == "w", False]
        place = 0 if self.which == "x" else 1

        def call() -> torch.Tensor:
            found = torch.ops.aten.convolution_backward(
                g, x, w, None, step, around, [1, 1], False, [0, 0], self.groups, mask
            )
            return found[place]

        return call

    def with_jax(self, data: Data) -> Call:
        import jax
        import jax.numpy as jnp

        found = self._channels_last(data)
        found = {name: jnp.asarray(array) for name, array in found.items()}

        def convolve(x: Any, w: Any) -> Any:
            around = [(self.padding, self.padding)] * 2
            return jax.lax.conv_general_dilated(
                x, w, (self.stride, self.stride), around,
                dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=self.groups,
            )  # fmt: skip

        @jax.jit
        def compute(found: dict[str, Any]) -> Any:
            x, w = found["x"], found["w"]
            if self.which == "f":
                return convolve(x, w)
            if self.which == "x":
                return jax.vjp(lambda x: convolve(x, w), x)[1](found["g"])[0]
            return jax.vjp(lambda w: convolve(x, w), w)[1](found["g"])[0]

        return lambda: compute(found).block_until_ready()

    def with_tensorflow(self, data: Data) -> Call:
        import tensorflow as tf

        found = {name: tf.constant(array) for name, array in self._channels_last(data).items()}
        steps = [1, self.stride, self.stride, 1]
        around = [[0, 0], [self.padding] * 2, [self.padding] * 2, [0, 0]]
        flat = [0, 0, *[self.padding] * 4, 0, 0]
        if self.groups > 1:
            found["w"] = tf.transpose(found["w"], (0, 1, 3, 2))

        @tf.function
        def compute() -> Any:
            x, w = found["x"], found["w"]
            if self.groups > 1:
                with tf.GradientTape() as tape:
                    variable = w if self.which == "w" else x
                    tape.watch(variable)
                    y = tf.nn.depthwise_conv2d(tf.pad(x, around), w, steps, "VALID")
                return y if self.which == "f" else tape.gradient(y, variable, found["g"])
            if self.which == "f":
                return tf.nn.conv2d(x, w, steps, around)
            if self.which == "x":
                shape = [self.image[i] for i in (0, 2, 3, 1)]
                return tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=shape, filter=w, out_backprop=found["g"], strides=steps,
                    padding="EXPLICIT", explicit_paddings=flat,
                )  # fmt: skip
            return tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=tf.shape(w), out_backprop=found["g"], strides=steps,
                padding="EXPLICIT", explicit_paddings=flat,
            )  # fmt: skip

        return lambda: compute()  # eager TensorFlow waits for the end

    def _channels_last(self, data: Data) -> dict[str, np.ndarray]:
        """Everything that JAX and TensorFlow ask for; what a pass does not read is zeros."""
        found = dict(data)
        if "x" not in found:
            found["x"] = np.zeros([self.image[i] for i in (0, 2, 3, 1)], np.float32)
        w = found.get("w", np.zeros(self.kernel, np.float32))
        found["w"] = np.ascontiguousarray(w.transpose(2, 3, 1, 0))
        return found


CASES = [Convolution(*layer, which) for layer in RESNET for which in PASSES]
CASES += [
    Convolution(channels, channels, 3, stride, side, which, groups=channels)
    for channels, stride, side in DEPTHWISE
    for which in PASSES
]
