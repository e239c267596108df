"""What is compared: small networks of each family at every run, all of them with `make models`."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

from ambos import models, nn
from ambos.models import (
    convnext,
    densenet,
    efficientnet,
    mobilenetv2,
    mobilenetv3,
    resnet,
    swin_transformer_v2,
    vgg,
)
from ambos.models.features import IntermediateLayerGetter
from ambos.models.segmentation import deeplabv3, fcn
from tests.models import twins
from tests.models.twins import Case, named, torchvision

theirs = torchvision.models
layer_getter = theirs._utils.IntermediateLayerGetter


def _resnet(module: Any) -> Any:
    return module.ResNet(
        module.Bottleneck, [1, 1, 1, 2], 5, groups=8, width_per_group=2,
        replace_stride_with_dilation=[False, False, True],
    )  # fmt: skip


def _mobilenet(module: Any) -> Any:
    return module.MobileNetV2(num_classes=5, inverted_residual_setting=[[1, 8, 1, 1], [6, 8, 2, 2]])


def _mobilenet_v3(module: Any) -> Any:
    rows = [(8, 3, 8, 8, True, "RE", 2), (8, 5, 24, 8, True, "HS", 1)]
    settings = [module.InvertedResidualConfig(*row, 1, 1.0) for row in rows]
    return module.MobileNetV3(settings, 16, num_classes=5)


def _efficientnet(module: Any) -> Any:
    rows = [(1, 3, 1, 8, 8, 1), (6, 5, 2, 8, 16, 2)]
    fused = [module.FusedMBConvConfig(*row) for row in ((1, 3, 1, 8, 8, 1), (4, 3, 2, 8, 8, 1))]
    plain = [module.MBConvConfig(*row, width_mult=1.0, depth_mult=0.7) for row in rows]
    return module.EfficientNet(fused + plain, 0.0, stochastic_depth_prob=0.0, num_classes=5)


def _convnext(module: Any) -> Any:
    settings = [module.CNBlockConfig(8, 16, 1), module.CNBlockConfig(16, None, 1)]
    return module.ConvNeXt(settings, layer_scale=0.5, num_classes=5)


def _swin(module: Any) -> Any:
    return module.SwinTransformer(
        patch_size=[4, 4], embed_dim=8, depths=[2, 1], num_heads=[2, 4], window_size=[4, 4],
        stochastic_depth_prob=0.0, num_classes=5,
    )  # fmt: skip


def _swin_v2(module: Any, block: Any, merging: Any) -> Any:
    return module.SwinTransformer(
        patch_size=[4, 4], embed_dim=8, depths=[2, 1], num_heads=[2, 4], window_size=[4, 4],
        stochastic_depth_prob=0.0, num_classes=5, block=block, downsample_layer=merging,
    )  # fmt: skip


def _vit(module: Any) -> Any:
    return module.VisionTransformer(16, 8, 2, 2, 8, 16, num_classes=5, representation_size=6)


def _deeplab(module: Any, head: Any, auxiliary: Any, layers: Any) -> Any:
    names = {"layer3": layers.Conv2d(3, 8, 3, 2), "layer4": layers.Conv2d(8, 16, 3, 2)}
    getter = IntermediateLayerGetter if module is models else layer_getter
    backbone = getter(layers.Sequential(OrderedDict(names)), {"layer4": "out", "layer3": "aux"})
    return module.segmentation.DeepLabV3(backbone, head(16, 5, (2, 3)), auxiliary(8, 5))


# The code of the full ones, with few blocks and small images.
SMALL: dict[str, Case] = {
    "mlp": Case(
        lambda: models.mlp(12, [16, 16, 5]),
        lambda: torchvision.ops.MLP(12, [16, 16, 5]),
        ((4, 12),),
    ),
    "lenet": Case(lambda: models.lenet(), twins.LeNet, ((2, 1, 32, 32),)),
    "basic block": Case(
        lambda: resnet.BasicBlock(8, 8), lambda: theirs.resnet.BasicBlock(8, 8), ((2, 8, 16, 16),)
    ),
    "resnet": Case(  # bottlenecks, with groups and dilation
        lambda: _resnet(resnet), lambda: _resnet(theirs.resnet), ((2, 3, 64, 64),)
    ),
    "vgg": Case(
        lambda: vgg.make_layers([[8], [8] * 2], batch_norm=True),
        lambda: theirs.vgg.make_layers([8, "M", 8, 8, "M"], batch_norm=True),
        ((2, 3, 16, 16),),
    ),
    "mobilenet_v2": Case(
        lambda: _mobilenet(mobilenetv2), lambda: _mobilenet(theirs), ((2, 3, 32, 32),)
    ),
    "densenet": Case(
        lambda: densenet.DenseNet(8, (2, 2), 16, num_classes=5),
        lambda: theirs.DenseNet(8, (2, 2), 16, num_classes=5),
        ((2, 3, 32, 32),),
    ),
    "mobilenet_v3": Case(
        lambda: _mobilenet_v3(mobilenetv3), lambda: _mobilenet_v3(theirs.mobilenetv3),
        ((2, 3, 32, 32),),
    ),
    "efficientnet": Case(
        lambda: _efficientnet(efficientnet), lambda: _efficientnet(theirs.efficientnet),
        ((2, 3, 32, 32),),
    ),
    "convnext": Case(
        lambda: _convnext(convnext), lambda: _convnext(theirs.convnext), ((2, 3, 64, 64),)
    ),
    "swin": Case(lambda: _swin(models), lambda: _swin(theirs), ((2, 3, 36, 28),)),
    "swin, version 2": Case(
        lambda: _swin_v2(models, swin_transformer_v2.SwinTransformerBlockV2,
                         swin_transformer_v2.PatchMergingV2),
        lambda: _swin_v2(theirs, theirs.swin_transformer.SwinTransformerBlockV2,
                         theirs.swin_transformer.PatchMergingV2),
        ((2, 3, 36, 28),),
    ),
    "vit": Case(lambda: _vit(models), lambda: _vit(theirs), ((2, 3, 16, 16),)),
    "deeplabv3": Case(
        lambda: _deeplab(models, deeplabv3.DeepLabHead, fcn.FCNHead, nn),
        lambda: _deeplab(theirs, theirs.segmentation.deeplabv3.DeepLabHead,
                         theirs.segmentation.fcn.FCNHead, torch.nn),
        ((2, 3, 32, 24),),
    ),
    "unet": Case(lambda: models.unet(width=4), lambda: twins.UNet(3, 2, 4, False),
                 ((2, 3, 36, 28),)),
    "unet, bilinear": Case(
        lambda: models.unet(width=4, bilinear=True), lambda: twins.UNet(3, 2, 4, True),
        ((2, 3, 36, 28),),
    ),
}  # fmt: skip

IMAGE = (4, 3, 64, 64)
_PLAIN = ("alexnet", "convnext", "densenet", "efficientnet", "mobilenet", "resn", "swin", "vgg",
          "wide_")  # fmt: skip
FULL: dict[str, Case] = {
    "lenet": SMALL["lenet"],
    "mlp": SMALL["mlp"],
    "unet, bilinear": SMALL["unet, bilinear"],
    **{name: named(name, *IMAGE) for name in models.list_models() if name.startswith(_PLAIN)},
    **{name: named(name, *IMAGE, image_size=64) for name in ("vit_b_16", "vit_b_32", "vit_l_16")},
    **{name: named(name, *IMAGE, weights_backbone=None, aux_loss=True)
       for name in models.list_models() if name.startswith(("deeplab", "fcn"))},
    "unet": Case(lambda: models.unet(), lambda: twins.UNet(3, 2, 64, False), (IMAGE,)),
}  # fmt: skip
