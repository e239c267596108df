"""Derivatives as graphs."""

from ambos.autodiff.batch import batched
from ambos.autodiff.forward import tangents
from ambos.autodiff.reverse import gradients, ones_like

__all__ = ["batched", "gradients", "ones_like", "tangents"]
