"""BERT: an encoder that reads both ways, trained to fill in words that were masked.

Source: Devlin, Chang, Lee, Toutanova (2019), "BERT: pre-training of deep bidirectional transformers
for language understanding". Names and keys as in Hugging Face's transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ambos import nn
from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError, ShapeError
from ambos.models.building import builder
from ambos.models.decoding import Attend, merge, split, whole
from ambos.nn import functional as F
from ambos.nn import init
from ambos.tensor.creation import arange, zeros_like
from ambos.tensor.handle import Tensor

__all__ = ["BertConfig", "BertForMaskedLM", "BertForSequenceClassification", "BertModel",
           "bert_base", "bert_base_classifier", "bert_large"]  # fmt: skip


@dataclass(frozen=True)
class BertConfig(metaclass=Checked):
    """Sizes of a BERT, under the names of its `config.json`."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ArgumentError(
                f"BertConfig: hidden_size is {self.hidden_size} and num_attention_heads "
                f"{self.num_attention_heads}; need a multiple"
            )

    def norm(self) -> nn.LayerNorm:
        return nn.LayerNorm(self.hidden_size, self.layer_norm_eps)


class BertEmbeddings(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=0)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = config.norm()
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        tokens, most = input_ids.shape[-1], self.position_embeddings.num_embeddings
        if tokens > most:
            raise ShapeError(f"BertModel: got {tokens} tokens; need at most "
                             f"max_position_embeddings={most}")  # fmt: skip
        kinds = zeros_like(input_ids) if token_type_ids is None else token_type_ids
        x = self.word_embeddings(input_ids) + self.token_type_embeddings(kinds)
        return self.dropout(self.LayerNorm(x + self.position_embeddings(arange(tokens))))


class BertSelfAttention(nn.Module):
    def __init__(self, config: BertConfig, layer: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.layer, self.num_heads = layer, config.num_attention_heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        q, k, v = (
            split(project(x), self.num_heads) for project in (self.query, self.key, self.value)
        )
        return merge(attend(self.layer, q, k, v))


class BertOutput(nn.Module):
    """Back to the width of the model, then the sum with what went in, normalised."""

    def __init__(self, config: BertConfig, inputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.hidden_size)
        self.LayerNorm = config.norm()
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(y)) + x)


class BertAttention(nn.Module):
    def __init__(self, config: BertConfig, layer: int) -> None:
        super().__init__()
        self.self = BertSelfAttention(config, layer)
        self.output = BertOutput(config, config.hidden_size)

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        return self.output(self.self(x, attend), x)


class BertIntermediate(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.dense(x))


class BertLayer(nn.Module):
    def __init__(self, config: BertConfig, layer: int) -> None:
        super().__init__()
        self.attention = BertAttention(config, layer)
        self.intermediate = BertIntermediate(config)
        self.output = BertOutput(config, config.intermediate_size)

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        x = self.attention(x, attend)
        return self.output(self.intermediate(x), x)


class BertEncoder(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        layers = range(config.num_hidden_layers)
        self.layer = nn.ModuleList([BertLayer(config, layer) for layer in layers])

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        for layer in self.layer:
            x = layer(x, attend)
        return x


class BertPooler(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x[:, 0]).tanh()


class BertModel(nn.Module):
    """The encoder: hidden states of every token and, if there is a pooler, of the sentence.

    Shapes: input_ids, attention_mask (0 for padding), token_type_ids (batch, tokens); the results
        are (batch, tokens, hidden_size) and (batch, hidden_size), or None.
    Errors: ShapeError for more tokens than there are positions; IndexingError for a token out of
        range.
    """

    def __init__(self, config: BertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__()
        self.config = config
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = BertPooler(config) if add_pooling_layer else None
        start(self, config)

    def forward(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None
    ) -> tuple[Tensor, Tensor | None]:
        dropped = self.config.attention_probs_dropout_prob if self.training else 0.0
        x = self.embeddings(input_ids, token_type_ids)
        x = self.encoder(x, whole(attention_mask, dropout_p=dropped))
        return x, None if self.pooler is None else self.pooler(x)


def start(model: nn.Module, config: BertConfig) -> None:
    """Initial values: weights normal, biases zero."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            init.normal_(module.weight, std=config.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            init.zeros_(module.bias)


class BertPredictionHeadTransform(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = config.norm()

    def forward(self, x: Tensor) -> Tensor:
        return self.LayerNorm(F.gelu(self.dense(x)))


class BertLMPredictionHead(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = BertPredictionHeadTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.bias = nn.Parameter(np.zeros(config.vocab_size, np.float32))
        self.decoder.bias = self.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.transform(x))


class BertOnlyMLMHead(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.predictions = BertLMPredictionHead(config)

    def forward(self, x: Tensor) -> Tensor:
        return self.predictions(x)


class BertForMaskedLM(nn.Module):
    """BERT with a head that says what word stands at each place.

    Shapes: as BertModel; the result are logits (batch, tokens, vocab_size).
    Errors: as BertModel.

    Example:
        >>> import ambos as am
        >>> model = bert_base(
        ...     vocab_size=50,
        ...     hidden_size=8,
        ...     num_hidden_layers=1,
        ...     num_attention_heads=2,
        ...     intermediate_size=16,
        ... )
        >>> model(am.tensor([[1, 2, 3]])).shape
        (1, 3, 50)
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = BertModel(config, add_pooling_layer=False)
        self.cls = BertOnlyMLMHead(config)
        start(self.cls, config)
        self.cls.predictions.decoder.weight = self.bert.embeddings.word_embeddings.weight

    def forward(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None
    ) -> Tensor:
        return self.cls(self.bert(input_ids, attention_mask, token_type_ids)[0])


class BertForSequenceClassification(nn.Module):
    """BERT with a head that sorts sentences into `num_labels` classes.

    Shapes: as BertModel; the result are logits (batch, num_labels).
    Errors: as BertModel.
    """

    def __init__(self, config: BertConfig, num_labels: int = 2) -> None:
        super().__init__()
        self.config = config
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, num_labels)
        start(self.classifier, config)

    def forward(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None
    ) -> Tensor:
        pooled = self.bert(input_ids, attention_mask, token_type_ids)[1]
        return self.classifier(self.dropout(pooled))


@builder
def bert_base(**config: Any) -> BertForMaskedLM:
    """BERT base with the head of its training, 110 million parameters; settings are those of
    BertConfig."""
    return BertForMaskedLM(BertConfig(**config))


@builder
def bert_large(**config: Any) -> BertForMaskedLM:
    """BERT large with the head of its training, 340 million parameters."""
    sizes = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
             "intermediate_size": 4096}  # fmt: skip
    return BertForMaskedLM(BertConfig(**sizes | config))


@builder
def bert_base_classifier(num_labels: int = 2, **config: Any) -> BertForSequenceClassification:
    """BERT base that sorts sentences into classes."""
    return BertForSequenceClassification(BertConfig(**config), num_labels)
