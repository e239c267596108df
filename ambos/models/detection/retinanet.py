"""RetinaNet: every anchor is asked at once, by a loss that cares little for what is easy.

Source: Lin, Goyal, Girshick, He, Dollár (2017), "Focal loss for dense object detection".
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from ambos import nn
from ambos.core.errors import ArgumentError
from ambos.models.blocks import Conv2dNormActivation, zero_bias
from ambos.models.building import Weights, numbers, understand
from ambos.models.detection.anchors import BETWEEN, AnchorGenerator, Matcher, decode, encode
from ambos.models.detection.boxes import clip_boxes_to_image, unsuppressed
from ambos.models.detection.feature_pyramid import (
    BackboneWithFPN,
    FrozenBatchNorm2d,
    LastLevelP6P7,
    freeze,
)
from ambos.models.detection.images import (
    GeneralizedRCNNTransform,
    Target,
    check_targets,
    resize_boxes,
)
from ambos.models.resnet import resnet50
from ambos.nn import functional as F
from ambos.nn import init
from ambos.tensor.creation import full_like
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import cat
from ambos.tensor.pointwise import where
from ambos.tensor.sorting import argsort, topk

__all__ = ["RetinaNet", "retinanet_resnet50_fpn"]


# Published checkpoints were saved before a convolution was a block of convolution and activation.
OLD_PYRAMID = re.compile(r"((?:inner|layer)_blocks\.\d+)\.(weight|bias)$")
OLD_HEAD = re.compile(r"(head\.\w+\.conv\.)(\d+)\.(weight|bias)$")


def _new_key(old: re.Match[str]) -> str:
    return f"{old[1]}{int(old[2]) // 2}.0.{old[3]}"


def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Binary cross entropy times (1 - p)**gamma, p being the probability of what is true."""
    p = F.sigmoid(inputs)
    loss = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    right = p * targets + (1 - p) * (1 - targets)
    return (alpha * targets + (1 - alpha) * (1 - targets)) * loss * (1 - right) ** gamma


class _Head(nn.Module):
    """Four convolutions and a last one, the same for every feature map."""

    outputs: int
    last: str

    def __init__(self, in_channels: int, num_anchors: int, outputs: int, last: str) -> None:
        super().__init__()
        conv = partial(Conv2dNormActivation, in_channels, in_channels, norm_layer=None)
        self.conv = nn.Sequential(*(conv() for _ in range(4)))
        self.outputs, self.last = outputs, last
        self.add_module(last, nn.Conv2d(in_channels, num_anchors * outputs, 3, padding=1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init.normal_(module.weight, std=0.01)
                zero_bias(module)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(N, all anchors, outputs)."""
        found = []
        for features in maps:
            x = self.get_submodule(self.last)(self.conv(features))
            batch, _, height, width = x.shape
            x = x.reshape(batch, -1, self.outputs, height, width).permute(0, 3, 4, 1, 2)
            found.append(x.reshape(batch, -1, self.outputs))
        return cat(found, axis=1)


class RetinaNetHead(nn.Module):
    """What stands at each anchor, and how its box differs from it."""

    def __init__(
        self, in_channels: int, num_anchors: int, num_classes: int, prior_probability: float = 0.01
    ) -> None:
        super().__init__()
        self.classification_head = _Head(in_channels, num_anchors, num_classes, "cls_logits")
        # Background is what is expected, or its sheer number would drown all else at first.
        prior = -math.log((1 - prior_probability) / prior_probability)
        init.constant_(self.classification_head.cls_logits.bias, prior)
        self.regression_head = _Head(in_channels, num_anchors, 4, "bbox_reg")

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        return self.classification_head(maps), self.regression_head(maps)


def losses_of(
    logits: Tensor, codes: Tensor, anchors: Tensor, matched: Tensor, target: Target
) -> tuple[Tensor, Tensor]:
    """The losses of one image: of the classes, and of the boxes. All shapes are known, so a step
    can be jitted: anchors that do not count are multiplied by 0."""
    foreground = matched >= 0
    number = foreground.sum().clip(1).to(logits.dtype)
    if not target["boxes"].shape[0]:
        return sigmoid_focal_loss(logits, full_like(logits, 0.0)).sum() / number, codes.sum() * 0
    place = matched.clip(0)
    wanted = F.one_hot(target["labels"][place], logits.shape[1]) * foreground[:, None]
    loss = sigmoid_focal_loss(logits, wanted.to(logits.dtype))
    classes = where((matched != BETWEEN)[:, None], loss, 0.0).sum() / number
    distance = (codes - encode(target["boxes"][place], anchors)).abs()
    return classes, where(foreground[:, None], distance, 0.0).sum() / number


class RetinaNet(nn.Module):
    """A pyramid of features, and the same two small networks above each of its maps.

    In training `net(images, targets)` gives {"classification", "bbox_regression"}, the losses;
    otherwise `net(images)` gives {"boxes", "scores", "labels"} for each image. Images are
    (3, H, W), from 0 to 1; targets {"boxes": (n, 4), "labels": (n,)}, in pixels of the image.

    Errors: ArgumentError without targets in training; ShapeError.
    Source: Lin et al. (2017), "Focal loss for dense object detection".
    """

    def __init__(
        self,
        backbone: BackboneWithFPN,
        num_classes: int,
        min_size: int = 800,
        max_size: int = 1333,
        image_mean: Sequence[float] = (0.485, 0.456, 0.406),
        image_std: Sequence[float] = (0.229, 0.224, 0.225),
        anchor_generator: AnchorGenerator | None = None,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        detections_per_img: int = 300,
        fg_iou_thresh: float = 0.5,
        bg_iou_thresh: float = 0.4,
        topk_candidates: int = 1000,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.anchor_generator = anchor_generator or AnchorGenerator(
            [[x, int(x * 2 ** (1 / 3)), int(x * 2 ** (2 / 3))] for x in (32, 64, 128, 256, 512)],
            [[0.5, 1.0, 2.0]] * 5,
        )
        self.per_place = self.anchor_generator.num_anchors_per_location()
        self.head = RetinaNetHead(backbone.out_channels, self.per_place[0], num_classes)
        self.matcher = Matcher(fg_iou_thresh, bg_iou_thresh)
        self.transform = GeneralizedRCNNTransform(min_size, max_size, image_mean, image_std)
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img, self.topk_candidates = detections_per_img, topk_candidates
        understand(self, OLD_PYRAMID, r"\1.0.\2")
        understand(self, OLD_HEAD, _new_key)

    def forward(self, images: Sequence[Tensor], targets: Sequence[Target] | None = None) -> Any:
        if self.training:
            targets = check_targets(images, targets)
        batch, sizes, targets = self.transform(images, targets)
        maps = [*self.backbone(batch).values()]
        grids = [(part.shape[2], part.shape[3]) for part in maps]
        logits, codes = self.head(maps)
        anchors = self.anchor_generator((batch.shape[2], batch.shape[3]), grids)
        if targets is not None and self.training:
            return self._losses(logits, codes, anchors, targets)
        levels = [n * grid[0] * grid[1] for n, grid in zip(self.per_place, grids, strict=True)]
        found = []
        for image, size, scores, boxes in zip(images, sizes, logits, codes, strict=True):
            detected = self._detect(scores, boxes, anchors, levels, size)
            detected["boxes"] = resize_boxes(detected["boxes"], size, image.shape[-2:])
            found.append(detected)
        return found

    def _losses(
        self, logits: Tensor, codes: Tensor, anchors: Tensor, targets: Sequence[Target]
    ) -> dict[str, Tensor]:
        found = [
            losses_of(logits[i], codes[i], anchors, self.matcher(target["boxes"], anchors), target)
            for i, target in enumerate(targets)
        ]
        classes, boxes = (sum(part[1:], part[0]) / len(found) for part in zip(*found, strict=True))
        return {"classification": classes, "bbox_regression": boxes}

    def _detect(
        self,
        logits: Tensor,
        codes: Tensor,
        anchors: Tensor,
        levels: Sequence[int],
        size: tuple[int, int],
    ) -> dict[str, Tensor]:
        """The best of each level, then those of all that no better one overlaps. All of it is a
        graph of known shapes but the end, which looks how many were found."""
        boxes, scores, labels, start = [], [], [], 0
        for count in levels:
            some = slice(start, start + count)
            start += count
            flat = F.sigmoid(logits[some]).flatten()
            best, place = topk(flat, min(self.topk_candidates, flat.shape[0]))
            anchor = place // logits.shape[1]
            box = decode(codes[some][anchor], anchors[some][anchor])
            boxes.append(clip_boxes_to_image(box, size))
            scores.append(best)
            labels.append(place % logits.shape[1])
        order = argsort(cat(scores), descending=True)
        ranked = [cat(part)[order] for part in (boxes, scores, labels)]
        # Sorted by score, so what is below the threshold comes last and suppresses nothing before.
        kept = unsuppressed(ranked[0], self.nms_thresh, ranked[2]) & (ranked[1] > self.score_thresh)
        found = [part[kept][: self.detections_per_img] for part in ranked]
        return dict(zip(("boxes", "scores", "labels"), found, strict=True))


def retinanet_resnet50_fpn(
    *,
    weights: Weights = None,
    progress: bool = True,
    num_classes: int = 91,
    weights_backbone: Weights = None,
    trainable_backbone_layers: int | None = None,
    **settings: Any,
) -> RetinaNet:
    """RetinaNet on a ResNet-50; `settings` are those of the class.

    With `weights`, or `weights_backbone` (those of a `resnet50`), the backbone's normalisation does
    not change, and its last `trainable_backbone_layers` of 5 (3) are trained.
    """
    given = weights is not None or weights_backbone is not None
    trained = trainable_backbone_layers
    if trained is None:
        trained = 3 if given else 5
    if not 0 <= trained <= 5:
        raise ArgumentError(
            f"retinanet_resnet50_fpn: trainable_backbone_layers is {trained}; need 0 to 5"
        )
    # Published weights were trained with eps 0.
    frozen = partial(FrozenBatchNorm2d, eps=0.0 if weights is not None else 1e-5)
    resnet = resnet50(norm_layer=frozen if given else nn.BatchNorm2d)
    if weights_backbone is not None:
        state = numbers("retinanet_resnet50_fpn", weights_backbone)
        counted = ".num_batches_tracked"  # which frozen layers do not
        resnet.load_state_dict({k: v for k, v in state.items() if not k.endswith(counted)})
    freeze(resnet, trained)
    stages = {"layer2": "0", "layer3": "1", "layer4": "2"}
    pyramid = BackboneWithFPN(resnet, stages, [512, 1024, 2048], 256, LastLevelP6P7(256, 256))
    model = RetinaNet(pyramid, num_classes, **settings)
    if weights is not None:
        model.load_state_dict(numbers("retinanet_resnet50_fpn", weights))
    return model
