"""Anchors: boxes of fixed places and sizes, how objects are matched with them, and how a box is
written as its difference from one.

Source: Ren, He, Girshick, Sun (2015), "Faster R-CNN".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ambos import nn
from ambos.core.errors import ArgumentError
from ambos.models.detection.boxes import box_iou
from ambos.tensor.creation import full
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import stack
from ambos.tensor.pointwise import where

BELOW, BETWEEN = -1, -2  # what an anchor without an object is matched with


class AnchorGenerator(nn.Module):
    """At each place of each feature map, a box of each size and each ratio of height to width.

    Errors: ArgumentError where there are not as many sizes and ratios as feature maps.
    """

    def __init__(
        self, sizes: Sequence[Sequence[float]], aspect_ratios: Sequence[Sequence[float]]
    ) -> None:
        super().__init__()
        if len(sizes) != len(aspect_ratios):
            raise ArgumentError(f"AnchorGenerator: {len(sizes)} sizes and {len(aspect_ratios)} "
                                "aspect_ratios; need one of each a feature map")  # fmt: skip
        self.sizes, self.aspect_ratios = sizes, aspect_ratios

    def num_anchors_per_location(self) -> list[int]:
        return [len(s) * len(a) for s, a in zip(self.sizes, self.aspect_ratios, strict=True)]

    def forward(self, image_size: tuple[int, int], grids: Sequence[tuple[int, int]]) -> Tensor:
        """The anchors of all feature maps: constants, so they are found here and now."""
        if len(grids) != len(self.sizes):
            raise ArgumentError(f"AnchorGenerator: got {len(grids)} feature maps and sizes for "
                                f"{len(self.sizes)}; need as many")  # fmt: skip
        found = []
        for grid, sizes, ratios in zip(grids, self.sizes, self.aspect_ratios, strict=True):
            y, x = (np.arange(n) * (whole // n) for n, whole in zip(grid, image_size, strict=True))
            places = np.stack(np.meshgrid(y, x, indexing="ij")[::-1] * 2, -1).reshape(-1, 1, 4)
            found.append((places + self._cell(sizes, ratios)).reshape(-1, 4))
        return Tensor(np.concatenate(found).astype(np.float32))

    @staticmethod
    def _cell(sizes: Sequence[float], ratios: Sequence[float]) -> np.ndarray:
        """Boxes around (0, 0)."""
        tall = np.sqrt(np.asarray(ratios, np.float32))
        widths, heights = (
            np.outer(by, np.asarray(sizes, np.float32)).ravel() for by in (1 / tall, tall)
        )
        return np.round(np.stack([-widths, -heights, widths, heights], 1) / 2)


class Matcher:
    """Which object each anchor stands for: that which it overlaps most.

    An overlap of less than `low_threshold` is background (-1), between the thresholds the anchor
    is not asked (-2); but an object's best anchors are its own however little they overlap.
    """

    def __init__(self, high_threshold: float, low_threshold: float) -> None:
        if low_threshold > high_threshold:
            raise ArgumentError(f"Matcher: thresholds {low_threshold} and {high_threshold}; need "
                                "the lower first")  # fmt: skip
        self.high_threshold, self.low_threshold = high_threshold, low_threshold

    def __call__(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Shapes: (objects, 4) and (anchors, 4) to (anchors,)."""
        if not boxes.shape[0]:
            return full((anchors.shape[0],), BELOW, dtype="int64")
        overlap = box_iou(boxes, anchors)
        most, matches = overlap.max(dim=0)
        best = (overlap == overlap.amax(axis=1, keepdims=True)).any(axis=0)
        none = where(most < self.low_threshold, BELOW, BETWEEN)
        return where(best | (most >= self.high_threshold), matches, none)


LARGEST = math.log(1000 / 16)  # of the logarithm of a scale, so that its exponential is finite


def centers(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Width, height and middle."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return width, height, boxes[:, 0] + 0.5 * width, boxes[:, 1] + 0.5 * height


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """How to move and scale each anchor to get its box."""
    wide, tall, x, y = centers(boxes)
    width, height, middle, center = centers(anchors)
    return stack([(x - middle) / width, (y - center) / height,
                  (wide / width).log(), (tall / height).log()], axis=1)  # fmt: skip


def decode(codes: Tensor, anchors: Tensor) -> Tensor:
    """The boxes that `encode` has written as `codes`."""
    width, height, x, y = centers(anchors)
    x, y = codes[:, 0] * width + x, codes[:, 1] * height + y
    wide = codes[:, 2].clip(None, LARGEST).exp() * width / 2
    tall = codes[:, 3].clip(None, LARGEST).exp() * height / 2
    return stack([x - wide, y - tall, x + wide, y + tall], axis=1)
