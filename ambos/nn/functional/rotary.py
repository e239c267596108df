"""Rotary position embeddings: pairs of features turn by an angle that grows with the position."""

from __future__ import annotations

from typing import Any

from ambos.core.errors import ShapeError
from ambos.nn.functional.shared import as_tensor
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import concat, stack


def rotary_embedding(x: Any, angles: Any, interleaved: bool = False) -> Tensor:
    """`x` with pairs of features turned by `angles`.

    Feature i is paired with i + size / 2 (GPT-NeoX, LLaMA in Hugging Face's form), or with
    `interleaved` 2 i with 2 i + 1 (the paper, GPT-J, LLaMA in Meta's form).

    Shapes: x (..., tokens, size); angles (..., tokens, size / 2), broadcast to it.
    Errors: ShapeError for an odd number of features, or angles of another number.
    Source: Su, Lu, Pan, Murtadha, Wen, Liu (2021), "RoFormer: enhanced transformer with rotary
        position embedding".

    Example:
        >>> import ambos as am
        >>> quarter = am.tensor([[am.pi / 2]])
        >>> rotary_embedding(am.tensor([[1.0, 0.0]]), quarter).numpy().round(3) + 0
        array([[0., 1.]], dtype=float32)
    """
    x, angles = as_tensor(x), as_tensor(angles)
    size = x.shape[-1] if x.ndim else 0
    if not size or size % 2 or not angles.ndim or angles.shape[-1] != size // 2:
        raise ShapeError(
            f"rotary_embedding: x is {tuple(x.shape)} and angles {tuple(angles.shape)}; need "
            "(..., size) and (..., size / 2)"
        )
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    if interleaved:
        first, second = x[..., 0::2], x[..., 1::2]
        turned = stack([first * cos - second * sin, second * cos + first * sin], -1)
        return turned.flatten(-2)
    first, second = x.chunk(2, -1)
    return concat([first * cos - second * sin, second * cos + first * sin], -1)
