"""Weights that others published: files of PyTorch's, Hugging Face's and Keras's into modules."""

from typing import TYPE_CHECKING

from ambos.core.arguments import answering
from ambos.hub.loading import load_keras, load_torch
from ambos.hub.matching import Report

__all__ = ["Report", "load_keras", "load_torch"]

if not TYPE_CHECKING:  # a type checker knows the names, and would take this for any name
    __getattr__ = answering(__name__, __all__)
