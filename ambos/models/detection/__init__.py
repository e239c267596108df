"""Networks that find objects, and what they are made of."""

from ambos.models.detection.anchors import AnchorGenerator
from ambos.models.detection.boxes import (
    batched_nms,
    box_area,
    box_iou,
    clip_boxes_to_image,
    nms,
)
from ambos.models.detection.feature_pyramid import (
    BackboneWithFPN,
    FeaturePyramidNetwork,
    FrozenBatchNorm2d,
)
from ambos.models.detection.retinanet import (
    RetinaNet,
    retinanet_resnet50_fpn,
    sigmoid_focal_loss,
)

__all__ = [
    "AnchorGenerator",
    "BackboneWithFPN",
    "FeaturePyramidNetwork",
    "FrozenBatchNorm2d",
    "RetinaNet",
    "batched_nms",
    "box_area",
    "box_iou",
    "clip_boxes_to_image",
    "nms",
    "retinanet_resnet50_fpn",
    "sigmoid_focal_loss",
]
