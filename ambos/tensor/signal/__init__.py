"""`am.signal`: windows (`am.signal.windows`), and Fourier transforms of short pieces."""

from ambos.core.arguments import answering
from ambos.tensor.signal import windows
from ambos.tensor.signal.frames import istft, stft

__all__ = ["istft", "stft", "windows"]

__getattr__ = answering("ambos.signal", __all__)
