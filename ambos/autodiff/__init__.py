"""Derivatives as graphs."""

from ambos.autodiff.forward import tangents
from ambos.autodiff.reverse import gradients, ones_like

__all__ = ["gradients", "ones_like", "tangents"]
