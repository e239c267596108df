"""Models, each a short file that reads like its paper, under the names and keys of torchvision.

A file is imported when one of its names is first used.
"""

import importlib
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from ambos.core.arguments import answering, checked
from ambos.core.errors import UnknownNameError, suggest
from ambos.models.building import fitting

# What each file has: its classes, and the functions that make a model of a certain size.
FILES = {
    "bert": "BertConfig BertForMaskedLM BertForSequenceClassification BertModel bert_base "
    "bert_base_classifier bert_large",
    "gpt": "GPT2Config GPT2LMHeadModel GPT2Model gpt2 gpt2_large gpt2_medium gpt2_xl",
    "llama": "LlamaConfig LlamaForCausalLM LlamaModel llama2_7b llama3_8b llama_7b",
    "t5": "T5Config T5ForConditionalGeneration t5_base t5_large t5_small",
    "wav2vec2": "Wav2Vec2Config Wav2Vec2ForCTC Wav2Vec2Model wav2vec2_base",
    "whisper": "WhisperConfig WhisperForConditionalGeneration whisper_base whisper_small "
    "whisper_tiny",
    "alex_net": "AlexNet alexnet",
    "convnext": "ConvNeXt convnext_base convnext_large convnext_small convnext_tiny",
    "densenet": "DenseNet densenet121 densenet161 densenet169 densenet201",
    "efficientnet": "EfficientNet efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 "
    "efficientnet_b4 efficientnet_b5 efficientnet_b6 efficientnet_b7 efficientnet_v2_l "
    "efficientnet_v2_m efficientnet_v2_s",
    "le_net": "LeNet lenet",
    "mobilenetv3": "MobileNetV3 mobilenet_v3_large mobilenet_v3_small",
    "perceptron": "MLP mlp",
    "mobilenetv2": "MobileNetV2 mobilenet_v2",
    "resnet": "ResNet resnet101 resnet152 resnet18 resnet34 resnet50 resnext101_32x8d "
    "resnext101_64x4d resnext50_32x4d wide_resnet101_2 wide_resnet50_2",
    "actor_critic": "ActorCritic ppo",
    "adversarial": "Discriminator Generator dcgan_discriminator dcgan_generator",
    "autoencoder": "VAE vae",
    "diffusion": "Diffusion",
    "diffusion_unet": "UNet2DModel ddpm_unet",
    "message_passing": "GAT GCN GraphSAGE gat gcn sage",
    "value_network": "QNetwork dqn",
    "wave_net": "WaveNet wavenet",
    "segmentation.deeplabv3": "DeepLabV3 deeplabv3_resnet50 deeplabv3_resnet101",
    "segmentation.fcn": "FCN fcn_resnet50 fcn_resnet101",
    "segmentation.u_net": "UNet unet",
    "detection.retinanet": "RetinaNet retinanet_resnet50_fpn",
    "swin_transformer": "SwinTransformer swin_b swin_s swin_t",
    "swin_transformer_v2": "swin_v2_b swin_v2_s swin_v2_t",
    "vgg": "VGG vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn",
    "vision_transformer": "VisionTransformer vit_b_16 vit_b_32 vit_h_14 vit_l_16 vit_l_32",
}
ROOMS = ("detection", "segmentation")  # which torchvision has too
PLACES = {name: file for file, names in FILES.items() for name in names.split()}
BUILDERS = sorted(name for name in PLACES if name.islower())

__all__ = ["get_model", "get_model_builder", "list_models"]
_PUBLIC = sorted({*__all__, *PLACES, *ROOMS})
_unknown = answering(__name__, _PUBLIC)


@checked
def list_models(include: str = "*") -> list[str]:
    """The names that `get_model` knows; of those that fit `include`, if it is given.

    Example:
        >>> list_models("resnet1*")
        ['resnet101', 'resnet152', 'resnet18']
    """
    return [name for name in BUILDERS if fnmatchcase(name, include)]


@checked
def get_model_builder(name: str) -> Callable[..., Any]:
    """The function that makes the model of this name.

    Errors: UnknownNameError for a name that `list_models()` does not have.

    Example:
        >>> get_model_builder("resnet18").__name__
        'resnet18'
    """
    if name not in BUILDERS:
        raise UnknownNameError(
            f"get_model: unknown model {name!r}; need one of list_models(){suggest(name, BUILDERS)}"
        )
    found: Callable[..., Any] = getattr(importlib.import_module(f"{__name__}.{PLACES[name]}"), name)
    return found


@fitting
def get_model(name: str, **settings: Any) -> Any:
    """A new model: `get_model("lenet", num_classes=7)` is `lenet(num_classes=7)`.

    Errors: UnknownNameError for a name that `list_models()` does not have.

    Example:
        >>> get_model("lenet", num_classes=7).fc3
        Linear(in_features=84, out_features=7, bias=True)
    """
    return get_model_builder(name)(**settings)


def __getattr__(name: str) -> Any:
    if name in ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in PLACES:
        return _unknown(name)
    found = getattr(importlib.import_module(f"{__name__}.{PLACES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return _PUBLIC
