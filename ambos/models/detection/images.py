"""Images of different sizes as one batch, and back: normalised, resized, padded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ambos import nn
from ambos.core.errors import ArgumentError, ShapeError
from ambos.nn import functional as F
from ambos.tensor.creation import asarray
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import stack

Size = tuple[int, int]
Target = dict[str, Any]


class GeneralizedRCNNTransform(nn.Module):
    """The shorter side of an image becomes `min_size`, unless the longer exceeds `max_size` then.

    Errors: ShapeError for what is no (channels, height, width).
    """

    def __init__(
        self,
        min_size: int,
        max_size: int,
        image_mean: Sequence[float],
        image_std: Sequence[float],
        size_divisible: int = 32,
    ) -> None:
        super().__init__()
        self.min_size, self.max_size, self.size_divisible = min_size, max_size, size_divisible
        self.image_mean, self.image_std = image_mean, image_std

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[Target] | None = None
    ) -> tuple[Tensor, list[Size], list[Target] | None]:
        """The batch, the sizes of the images in it, and targets whose boxes are scaled."""
        resized = [self._resized(self._normalized(image)) for image in images]
        sizes = [(image.shape[1], image.shape[2]) for image in resized]
        step = self.size_divisible
        tall, wide = (math.ceil(max(extents) / step) * step for extents in zip(*sizes, strict=True))
        batch = stack([
            F.pad(image, (0, wide - image.shape[2], 0, tall - image.shape[1])) for image in resized
        ])  # fmt: skip
        if targets is None:
            return batch, sizes, None
        scaled = [
            {**target, "boxes": resize_boxes(target["boxes"], image.shape[-2:], size)}
            for target, image, size in zip(targets, images, sizes, strict=True)
        ]
        return batch, sizes, scaled

    def _normalized(self, image: Tensor) -> Tensor:
        if image.ndim != 3:
            raise ShapeError(f"detection: got an image {tuple(image.shape)}; need a list of "
                             "(channels, height, width)")  # fmt: skip
        mean, std = (asarray(x)[:, None, None] for x in (self.image_mean, self.image_std))
        return (image - mean) / std

    def _resized(self, image: Tensor) -> Tensor:
        short, long = min(image.shape[1:]), max(image.shape[1:])
        scale = min(self.min_size / short, self.max_size / long)
        return F.interpolate(image[None], scale_factor=scale, mode="bilinear",
                             align_corners=False, recompute_scale_factor=True)[0]  # fmt: skip


def resize_boxes(boxes: Tensor, old: Sequence[int], new: Sequence[int]) -> Tensor:
    """Boxes of an image of size `old` in the same image of size `new`."""
    down, right = (after / before for after, before in zip(new, old, strict=True))
    return boxes * asarray([right, down, right, down])


def check_targets(images: Sequence[Any], targets: Sequence[Target] | None) -> Sequence[Target]:
    """Errors: ArgumentError and ShapeError for what cannot be learnt."""
    if targets is None or len(targets) != len(images):
        given = "no" if targets is None else len(targets)
        raise ArgumentError(f"detection: got {len(images)} images and {given} targets in training; "
                            "need {'boxes', 'labels'} for each image, or eval()")  # fmt: skip
    for place, target in enumerate(targets):
        boxes = target["boxes"]
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ShapeError(f"detection: targets[{place}]['boxes'] is {tuple(boxes.shape)}; need "
                             "(objects, 4)")  # fmt: skip
        if tuple(target["labels"].shape) != (boxes.shape[0],):
            raise ShapeError(f"detection: targets[{place}] has {boxes.shape[0]} boxes and labels "
                             f"{tuple(target['labels'].shape)}; need as many")  # fmt: skip
    return targets
