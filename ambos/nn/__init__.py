"""Layers, losses and their functions, under PyTorch's names."""

from typing import TYPE_CHECKING

from ambos.core.arguments import answering
from ambos.nn import functional, init, utils
from ambos.nn.activation import (
    GELU,
    Dropout,
    Identity,
    LogSoftmax,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from ambos.nn.cells import GRUCell, LSTMCell, RNNCell, RNNCellBase
from ambos.nn.container import ModuleList, Sequential
from ambos.nn.convolution import Conv1d, Conv2d, Conv3d, LazyConv1d, LazyConv2d, LazyConv3d
from ambos.nn.embedding import Embedding
from ambos.nn.linear import LazyLinear, Linear
from ambos.nn.losses import BCEWithLogitsLoss, CrossEntropyLoss, L1Loss, MSELoss, NLLLoss
from ambos.nn.module import Module
from ambos.nn.normalization import BatchNorm1d, BatchNorm2d, LayerNorm
from ambos.nn.parameter import Parameter, UninitializedParameter
from ambos.nn.recurrent import GRU, LSTM, RNN, RNNBase
from ambos.nn.shape import AdaptiveAvgPool2d, AvgPool2d, Flatten, MaxPool2d

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "Identity",
    "L1Loss",
    "LSTMCell",
    "LayerNorm",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyLinear",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "RNNBase",
    "RNNCell",
    "RNNCellBase",
    "ReLU",
    "ReLU6",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "UninitializedParameter",
    "functional",
    "init",
    "utils",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker knows the names, and would take this for any name
    __getattr__ = answering(__name__, __all__)
