"""The Transformer: encoder and decoder layers, stacks of them, and both together."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar

from ambos.core.arguments import flag, positive
from ambos.core.errors import ArgumentError, ShapeError
from ambos.nn import functional as F
from ambos.nn import init
from ambos.nn.attention import MultiheadAttention
from ambos.nn.container import ModuleList
from ambos.nn.dropout import Dropout
from ambos.nn.functional.shared import as_tensor
from ambos.nn.groups import LayerNorm
from ambos.nn.linear import Linear
from ambos.nn.module import Module
from ambos.tensor.creation import full
from ambos.tensor.handle import Tensor

Activation = str | Callable[[Tensor], Tensor]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


def _activation(kind: str, given: Activation) -> Callable[[Tensor], Tensor]:
    if not isinstance(given, str):
        return given
    if given not in ACTIVATIONS:
        raise ArgumentError(f"{kind}: activation is {given!r}; need 'relu', 'gelu' or a function")
    return ACTIVATIONS[given]


class _Layer(Module):
    """What both kinds of layer share: attention and two linear layers, `norms` blocks in all."""

    norms: ClassVar[int]

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        attention = {"dropout": dropout, "bias": bias, "batch_first": batch_first, **factory}
        self.self_attn = MultiheadAttention(d_model, nhead, **attention)
        if self.norms == 3:
            self.multihead_attn = MultiheadAttention(d_model, nhead, **attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **factory)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **factory)
        self.norm_first = flag(f"{type(self).__name__}: norm_first", norm_first)
        for number in range(1, self.norms + 1):
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias, **factory)
            self.add_module(f"norm{number}", norm)
        for number in range(1, self.norms + 1):
            self.add_module(f"dropout{number}", Dropout(dropout))
        self.activation = _activation(type(self).__name__, activation)

    def _attended(
        self, attention: Module, x: Tensor, memory: Tensor, mask: Any, padding: Any, causal: bool
    ) -> Tensor:
        found: Tensor = attention(
            x, memory, memory, attn_mask=mask, key_padding_mask=padding, need_weights=False,
            is_causal=causal,
        )[0]  # fmt: skip
        return found

    def _fed(self, x: Tensor) -> Tensor:
        found: Tensor = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return found

    def _added(self, x: Tensor, *blocks: Callable[[Tensor], Tensor]) -> Tensor:
        """Each block's result (some of it dropped) added to its input, normalised before the block
        or after it."""
        for number, block in enumerate(blocks, 1):
            norm = self.get_submodule(f"norm{number}")
            drop = self.get_submodule(f"dropout{number}")
            x = x + drop(block(norm(x))) if self.norm_first else norm(x + drop(block(x)))
        return x


class TransformerEncoderLayer(_Layer):
    """Self-attention and two linear layers, each added to its input and normalised.

    Shapes: (L, N, d_model), (N, L, d_model) with `batch_first`, or without N; kept. Masks as
        MultiheadAttention takes them.
    Errors: ShapeError where an input or mask does not fit; ArgumentError.
    Source: Vaswani et al. (2017), "Attention is all you need"; with `norm_first` Xiong et al.
        (2020), "On layer normalization in the Transformer architecture".

    Example:
        >>> import ambos as am
        >>> layer = TransformerEncoderLayer(8, 2, 16, batch_first=True)
        >>> layer(am.ones(3, 5, 8)).shape
        (3, 5, 8)
    """

    norms = 2

    def forward(
        self,
        src: Tensor,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Tensor:
        def attended(x: Tensor) -> Tensor:
            return self._attended(self.self_attn, x, x, src_mask, src_key_padding_mask, is_causal)

        return self._added(src, attended, self._fed)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to `memory` and two linear layers, each added to its input and
    normalised.

    Shapes: tgt (L, N, d_model) and memory (S, N, d_model), N first with `batch_first`, or without
        N; to that of tgt. Masks as MultiheadAttention takes them.
    Errors: ShapeError where an input or mask does not fit; ArgumentError.
    Source: Vaswani et al. (2017), "Attention is all you need".

    Example:
        >>> import ambos as am
        >>> layer = TransformerDecoderLayer(8, 2, 16, batch_first=True)
        >>> layer(am.ones(3, 5, 8), am.ones(3, 4, 8)).shape
        (3, 5, 8)
    """

    norms = 3

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        def attended(x: Tensor) -> Tensor:
            padding = tgt_key_padding_mask
            return self._attended(self.self_attn, x, x, tgt_mask, padding, tgt_is_causal)

        def remembered(x: Tensor) -> Tensor:
            padding = memory_key_padding_mask
            return self._attended(
                self.multihead_attn, x, memory, memory_mask, padding, memory_is_causal
            )

        return self._added(tgt, attended, remembered, self._fed)


class _Stack(Module):
    """Copies of one layer, one after the other, and a normalisation."""

    def _stack(self, layer: Module, num_layers: int, norm: Module | None) -> None:
        self.num_layers = positive(f"{type(self).__name__}: num_layers", num_layers)
        self.layers = ModuleList(copy.deepcopy(layer) for _ in range(num_layers))
        self.norm = norm


class TransformerEncoder(_Stack):
    """`num_layers` copies of an encoder layer, one after the other, and then `norm`.

    `enable_nested_tensor` and `mask_check` are accepted and change nothing.

    Shapes: those of the layer, kept.
    Errors: as the layer's.

    Example:
        >>> import ambos as am
        >>> encoder = TransformerEncoder(TransformerEncoderLayer(8, 2, 16), 2)
        >>> encoder(am.ones(5, 3, 8)).shape
        (5, 3, 8)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self._stack(encoder_layer, num_layers, norm)

    def forward(
        self,
        src: Tensor,
        mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(_Stack):
    """`num_layers` copies of a decoder layer, one after the other, and then `norm`.

    Shapes: those of the layer, kept.
    Errors: as the layer's.

    Example:
        >>> import ambos as am
        >>> decoder = TransformerDecoder(TransformerDecoderLayer(8, 2, 16), 2)
        >>> decoder(am.ones(5, 3, 8), am.ones(4, 3, 8)).shape
        (5, 3, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self._stack(decoder_layer, num_layers, norm)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        for layer in self.layers:
            tgt = layer(
                tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
                bool(tgt_is_causal), memory_is_causal,
            )  # fmt: skip
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder, and a decoder that attends to what it makes.

    Shapes: src (S, N, d_model) and tgt (T, N, d_model), N first with `batch_first`, or without N;
        to that of tgt. Masks as MultiheadAttention takes them.
    Errors: ShapeError where an input or mask does not fit; ArgumentError.
    Source: Vaswani et al. (2017), "Attention is all you need".

    Example:
        >>> import ambos as am
        >>> model = Transformer(8, 2, 1, 1, 16, batch_first=True)
        >>> model(am.ones(3, 5, 8), am.ones(3, 4, 8)).shape
        (3, 4, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.d_model, self.nhead = d_model, nhead
        self.batch_first = flag("Transformer: batch_first", batch_first)
        settings = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
            norm_first, bias, device, dtype,
        )  # fmt: skip

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*settings), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*settings), num_decoder_layers, norm()
        )
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """PyTorch's initial values: Glorot's for every matrix."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        src, tgt = as_tensor(src), as_tensor(tgt)
        batch = 0 if self.batch_first else 1
        if src.ndim != tgt.ndim or (src.ndim == 3 and src.shape[batch] != tgt.shape[batch]):
            raise ShapeError(
                f"Transformer: src is {tuple(src.shape)} and tgt {tuple(tgt.shape)}; need one "
                f"batch size, in axis {batch}"
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        found: Tensor = self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
            tgt_is_causal, memory_is_causal,
        )  # fmt: skip
        return found

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """The causal mask (sz, sz): -inf above the diagonal, 0 elsewhere."""
        return full((sz, sz), float("-inf"), dtype=dtype, device=device).triu(1)
