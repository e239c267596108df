"""`am.callbacks`: what can be handed to `fit(callbacks=[...])`, from all rooms."""

from typing import TYPE_CHECKING

from ambos.core.arguments import answering
from ambos.train import callbacks
from ambos.viz.tensor_board import TensorBoard

__all__ = [*callbacks.__all__, "TensorBoard"]
globals().update({name: getattr(callbacks, name) for name in callbacks.__all__})

if not TYPE_CHECKING:  # a type checker knows the names, and would take this for any name
    __getattr__ = answering(__name__, __all__)
