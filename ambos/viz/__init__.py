"""Looking: TensorBoard's event files, drawings of models."""

from typing import TYPE_CHECKING

from ambos.core.arguments import answering
from ambos.viz.plot import plot_model
from ambos.viz.tables import summary
from ambos.viz.tensor_board import TensorBoard
from ambos.viz.writer import SummaryWriter

__all__ = ["SummaryWriter", "TensorBoard", "plot_model", "summary"]

if not TYPE_CHECKING:  # a type checker knows the names, and would take this for any name
    __getattr__ = answering(__name__, __all__)
