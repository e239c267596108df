"""Helpers around modules, under PyTorch's names."""

from ambos.nn.utils import rnn

__all__ = ["rnn"]
