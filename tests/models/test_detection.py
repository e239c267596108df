"""RetinaNet against torchvision's: losses, gradients, detections, and what they are made of."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
from ambos import models, nn
from ambos.core.errors import AmbosError, ArgumentError, ShapeError
from ambos.models import detection
from ambos.models.detection.feature_pyramid import LastLevelP6P7
from tests.models.oracle import keys, pair, worst_gradient
from tests.models.twins import Case, torchvision

RANDOM = np.random.default_rng(0)
IMAGES = [RANDOM.random((3, 50, 70), np.float32), RANDOM.random((3, 64, 48), np.float32)]
TARGETS = [
    {"boxes": np.array([[5, 5, 40, 45], [20, 10, 60, 40]], np.float32), "labels": np.array([1, 3])},
    {"boxes": np.zeros((0, 4), np.float32), "labels": np.zeros(0, np.int64)},  # nothing to see
]
SETTINGS: dict[str, Any] = {
    "num_classes": 4, "min_size": 64, "max_size": 96, "score_thresh": 0.012, "topk_candidates": 50,
    "detections_per_img": 40,
}  # fmt: skip


STAGES = {"layer2": "0", "layer3": "1", "layer4": "2"}


def body(layers: Any) -> Any:
    convs = [("layer2", layers.Conv2d(3, 8, 9, 8, 4)), ("layer3", layers.Conv2d(8, 16, 3, 2, 1)),
             ("layer4", layers.Conv2d(16, 24, 3, 2, 1))]  # fmt: skip
    return layers.Sequential(OrderedDict(convs))


def theirs() -> torch.nn.Module:
    module = torchvision.models.detection
    last = torchvision.ops.feature_pyramid_network.LastLevelP6P7(16, 16)
    net = module.RetinaNet(
        module.backbone_utils.BackboneWithFPN(body(torch.nn), STAGES, [8, 16, 24], 16, last),
        **SETTINGS,
    )
    with torch.no_grad():  # scores that differ
        net.head.classification_head.cls_logits.weight.mul_(100)
    return net


def ours() -> Any:
    last = LastLevelP6P7(16, 16)
    backbone = detection.BackboneWithFPN(body(nn), STAGES, [8, 16, 24], 16, last)
    return detection.RetinaNet(backbone, **SETTINGS)


def suppressed(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Non-maximum suppression as it is told: torchvision's is one of the ops that are missing."""
    overlap, kept = torchvision.ops.box_iou(boxes, boxes), []
    for i in scores.argsort(descending=True, stable=True).tolist():
        if not any(overlap[i, j] > threshold for j in kept):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.int64)


def each(make: Any, trees: list[Any]) -> list[Any]:
    return [{k: make(v) for k, v in x.items()} if isinstance(x, dict) else make(x) for x in trees]


def test_losses_gradients_and_detections(monkeypatch: pytest.MonkeyPatch) -> None:
    net, oracle = pair(Case(ours, theirs, ()))
    found = net(each(am.tensor, IMAGES), each(am.tensor, TARGETS))
    expected = oracle(each(torch.tensor, IMAGES), each(torch.tensor, TARGETS))
    assert {k: v.item() for k, v in found.items()} == pytest.approx(
        {k: v.item() for k, v in expected.items()}, rel=1e-5
    )
    (found["classification"] + found["bbox_regression"]).backward()
    (expected["classification"] + expected["bbox_regression"]).backward()
    gradients = {n: p.grad.numpy() for n, p in net.named_parameters() if p.grad is not None}
    assert worst_gradient(gradients, oracle)[0] < 1e-4

    monkeypatch.setattr(torchvision.ops.boxes, "nms", suppressed)
    with torch.no_grad():
        sought = oracle.eval()(each(torch.tensor, IMAGES))
    seen = net.eval()(each(am.tensor, IMAGES))
    assert [len(one["boxes"]) for one in sought] == [40, 40]
    for one, other in zip(seen, sought, strict=True):
        for name, value in other.items():
            assert np.allclose(one[name].numpy(), value.numpy(), rtol=1e-5, atol=1e-4), name


def test_suppression() -> None:
    corners = RANDOM.random((40, 2), np.float32) * 20
    boxes = np.concatenate([corners, corners + 1 + RANDOM.random((40, 2), np.float32) * 9], 1)
    scores = RANDOM.random(40, np.float32)
    for threshold in (0.0, 0.3, 1.0):
        expected = suppressed(torch.tensor(boxes), torch.tensor(scores), threshold)
        assert detection.nms(boxes, scores, threshold).tolist() == expected.tolist()
    labels = np.arange(40) % 3
    apart = torch.tensor(boxes + 100 * labels[:, None].astype(np.float32))
    expected = suppressed(apart, torch.tensor(scores), 0.3)
    assert detection.batched_nms(boxes, scores, labels, 0.3).tolist() == expected.tolist()
    assert detection.nms(am.zeros(0, 4), am.zeros(0), 0.5).tolist() == []


@pytest.mark.parametrize("given", [False, True])
def test_keys_at_real_size(given: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without weights, and on those of a ResNet: its normalisation is frozen then."""
    for rule in ("uniform_", "normal_"):
        monkeypatch.setattr(nn.init, rule, lambda tensor, *settings, **more: tensor)
    if not given:
        with torch.device("meta"):
            oracle = torchvision.models.detection.retinanet_resnet50_fpn(weights_backbone=None)
        assert keys(models.retinanet_resnet50_fpn()) == keys(oracle)
        return
    weights = models.resnet50().state_dict()
    net = models.detection.retinanet_resnet50_fpn(weights_backbone=weights)
    trained = {n for n, p in net.backbone.body.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"layer2", "layer3", "layer4"}
    assert net.backbone.body.bn1.eps == 1e-5
    assert "backbone.body.bn1.num_batches_tracked" not in net.state_dict()


def test_keys_of_published_files() -> None:
    net = ours()
    state = net.state_dict()
    old = {
        key.replace("fpn.inner_blocks.1.0.", "fpn.inner_blocks.1.").replace(
            "regression_head.conv.3.0.", "regression_head.conv.6."
        ): value
        for key, value in state.items()
    }
    assert "head.regression_head.conv.6.bias" in old
    net.load_state_dict(old)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: detection.nms(am.ones(3), am.ones(3), 0.5), ShapeError, "boxes, 4"),
        (lambda: detection.nms(am.ones(3, 4), am.ones(2), 0.5), ShapeError, "one score a box"),
        (lambda: ours()([am.ones(3, 8, 8)]), ArgumentError, "targets in training"),
        (lambda: ours().eval()(am.ones(1, 2, 3, 8, 8)), ShapeError, "channels, height, width"),
        (lambda: ours()([am.ones(3, 8, 8)], [{"boxes": am.ones(4), "labels": am.ones(1)}]),
         ShapeError, r"targets\[0\]\['boxes'\]"),
        (lambda: models.retinanet_resnet50_fpn(trainable_backbone_layers=7), ArgumentError, "to 5"),
    ],
)  # fmt: skip
def test_mistakes_are_told(call, error: type[AmbosError], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
