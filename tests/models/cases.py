"""What is compared: small networks of each family at every run, all of them with `make models`."""

from __future__ import annotations

from typing import Any

from ambos import models
from ambos.models import densenet, mobilenetv2, resnet, vgg
from tests.models import twins
from tests.models.twins import Case, named, torchvision

theirs = torchvision.models


def _resnet(module: Any) -> Any:
    return module.ResNet(
        module.Bottleneck, [1, 1, 1, 2], 5, groups=8, width_per_group=2,
        replace_stride_with_dilation=[False, False, True],
    )  # fmt: skip


def _mobilenet(module: Any) -> Any:
    return module.MobileNetV2(
        num_classes=5, inverted_residual_setting=[[1, 8, 1, 1], [6, 8, 2, 2]], dropout=0.0
    )


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
}  # fmt: skip

IMAGE = (2, 3, 64, 64)
_PLAIN = [name for name in models.list_models() if name.startswith(("resn", "wide_", "densenet"))]
FULL: dict[str, Case] = {
    "lenet": SMALL["lenet"],
    "mlp": SMALL["mlp"],
    **{name: named(name, *IMAGE) for name in _PLAIN},
    **{name: named(name, *IMAGE, dropout=0.0)
       for name in ("alexnet", "mobilenet_v2", *models.list_models("vgg*"))},
}  # fmt: skip
