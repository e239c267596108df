"""Language models against Hugging Face's: logits, gradients, and what is generated."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
from ambos import models
from ambos.core.errors import (
    ArgumentError,
    DTypeError,
    IndexingError,
    ShapeError,
    UnknownNameError,
)  # fmt: skip
from ambos.models.gpt import GPT2Config
from ambos.models.sampling import keep_top_k, keep_top_p
from tests.models.oracle import difference, worst_gradient
from tests.models.twins import transformers

WORDS = 60
NUMBERS = np.random.default_rng(0)
IDS = NUMBERS.integers(1, WORDS, (2, 6))
SAID = NUMBERS.integers(1, WORDS, (2, 5))
LEFT = np.array([[0, 0, 1, 1, 1, 1], [1] * 6])
RIGHT = LEFT[:, ::-1].copy()
SOUND = NUMBERS.standard_normal((2, 4, 20)).astype(np.float32)

GPT2 = {"vocab_size": WORDS, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
LLAMA = {
    "vocab_size": WORDS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "rope_theta": 500.0,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                     "high_freq_factor": 4.0, "original_max_position_embeddings": 32},
}  # fmt: skip
BERT = {
    "vocab_size": WORDS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 64,
}  # fmt: skip
T5 = {
    "vocab_size": WORDS, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 10,
    "decoder_start_token_id": 0,
}  # fmt: skip
GATED = T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
WHISPER = {
    "vocab_size": WORDS, "num_mel_bins": 4, "d_model": 32, "encoder_layers": 2,
    "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 40, "max_source_positions": 10,
    "max_target_positions": 32, "decoder_start_token_id": 3,
}  # fmt: skip
WAV2VEC2 = {
    "vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 24, "conv_dim": (8, 8), "conv_stride": (5, 2), "conv_kernel": (10, 3),
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
NO_SIGNS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


@dataclass
class Case:
    """A model, Hugging Face's, and inputs by the oracle's names, in our order."""

    ours: Callable[[], Any]
    theirs: str
    config: dict[str, Any]
    inputs: dict[str, np.ndarray]

    def pair(self) -> tuple[Any, Any]:
        """Both with the oracle's numbers, without dropout."""
        torch.manual_seed(0)
        family = self.theirs.split("For")[0].removesuffix("LMHeadModel")
        config = getattr(transformers, f"{family}Config")(**self.config)
        theirs = getattr(transformers, self.theirs)(config).eval()
        if family == "T5":  # one table for both sides, as in published files, tied or not
            theirs.encoder.embed_tokens = theirs.decoder.embed_tokens = theirs.shared
            if not self.config.get("tie_word_embeddings", True):
                weight = torch.randn(WORDS, self.config["d_model"]) / 8
                theirs.lm_head.weight = torch.nn.Parameter(weight)
        ours = self.ours().eval()
        assert set(ours.state_dict()) == set(theirs.state_dict())
        ours.load_state_dict(theirs.state_dict())
        return ours, theirs


CASES = {
    "gpt2": Case(
        lambda: models.gpt2(**GPT2), "GPT2LMHeadModel", GPT2 | NO_SIGNS,
        {"input_ids": IDS, "attention_mask": RIGHT},
    ),
    "llama": Case(
        lambda: models.llama_7b(**LLAMA), "LlamaForCausalLM", LLAMA | NO_SIGNS,
        {"input_ids": IDS, "attention_mask": RIGHT},
    ),
    "bert": Case(
        lambda: models.bert_base(**BERT), "BertForMaskedLM", BERT,
        {"input_ids": IDS, "attention_mask": RIGHT, "token_type_ids": 1 - LEFT},
    ),
    "bert classifier": Case(
        lambda: models.bert_base_classifier(3, **BERT), "BertForSequenceClassification",
        BERT | {"num_labels": 3}, {"input_ids": IDS, "attention_mask": RIGHT},
    ),
    "t5": Case(
        lambda: models.t5_small(**T5), "T5ForConditionalGeneration", T5,
        {"input_ids": IDS, "attention_mask": RIGHT, "decoder_input_ids": SAID},
    ),
    "t5 gated": Case(
        lambda: models.t5_small(**GATED), "T5ForConditionalGeneration", GATED,
        {"input_ids": IDS, "attention_mask": RIGHT, "decoder_input_ids": SAID},
    ),
    "whisper": Case(
        lambda: models.whisper_tiny(**WHISPER), "WhisperForConditionalGeneration",
        WHISPER | {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
        {"input_features": SOUND, "decoder_input_ids": SAID},
    ),
    "wav2vec2": Case(
        lambda: models.wav2vec2_base(**WAV2VEC2), "Wav2Vec2ForCTC",
        WAV2VEC2 | {"num_feat_extract_layers": 2},
        {"input_values": NUMBERS.standard_normal((2, 100)).astype(np.float32),
         "attention_mask": (np.arange(100) < [[100], [70]]).astype(np.int64)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_logits_and_gradients(name: str) -> None:
    case = CASES[name]
    ours, theirs = case.pair()
    expected = theirs(**{key: torch.tensor(value) for key, value in case.inputs.items()}).logits
    found = ours(*map(am.tensor, case.inputs.values()))
    weights = NUMBERS.standard_normal(found.shape).astype(np.float32)
    (found * am.tensor(weights)).sum().backward()
    (expected * torch.tensor(weights)).sum().backward()
    assert difference(found.numpy(), expected) < 1e-5
    gradients = {n: p.grad.numpy() for n, p in ours.named_parameters() if p.grad is not None}
    worst, whose = worst_gradient(gradients, theirs)
    assert worst < 1e-4, whose


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_beams": 3, "length_penalty": 0.3},
        {"num_beams": 2, "early_stopping": True, "eos_token_id": 11},
        {"eos_token_id": [11, 3]},
        {"num_beams": 2, "eos_token_id": [11, 3, 7]},
    ],
    ids=["greedy", "beams", "early", "ends", "beams and ends"],
)
def test_what_is_generated(name: str, settings: dict[str, Any]) -> None:
    case = CASES[name]
    ours, theirs = case.pair()
    mask = RIGHT if name == "t5" else LEFT
    found = ours.generate(
        am.tensor(IDS), 8, attention_mask=mask, pad_token_id=0, **settings
    )  # fmt: skip
    expected = theirs.generate(
        torch.tensor(IDS), attention_mask=torch.tensor(mask), max_new_tokens=8, do_sample=False,
        pad_token_id=0, **{"eos_token_id": None} | settings,
    )  # fmt: skip
    assert found.tolist() == expected.tolist()


def test_beams_are_those_of_transformers() -> None:
    numbers = np.random.default_rng(0)
    ours, theirs = CASES["gpt2"].pair()
    for parameter in theirs.parameters():  # far apart: no sentence is like another
        parameter.data.mul_(4)
    ours.load_state_dict(theirs.state_dict())
    for _ in range(20):
        settings: dict[str, Any] = {
            "num_beams": int(numbers.integers(2, 4)),
            "length_penalty": float(numbers.choice([-0.5, 0, 0.7, 1, 2])),
            "early_stopping": bool(numbers.integers(2)),
            "eos_token_id": numbers.choice(np.arange(1, WORDS), 3, replace=False).tolist(),
            "pad_token_id": 1,
        }
        ids = numbers.integers(0, WORDS, (3, 4))
        found = ours.generate(am.tensor(ids), 6, **settings)
        expected = theirs.generate(
            torch.tensor(ids), attention_mask=torch.ones(3, 4), max_new_tokens=6, do_sample=False,
            **settings,
        )  # fmt: skip
        assert found.tolist() == expected.tolist(), settings


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_constraints_are_those_of_transformers(name: str) -> None:
    numbers = np.random.default_rng(1)
    ours, theirs = CASES[name].pair()
    for parameter in theirs.parameters():
        parameter.data.mul_(4 if name == "gpt2" else 2)
    ours.load_state_dict(theirs.state_dict())
    for turn in range(16):
        beams = int(numbers.choice([1, 3]))
        settings: dict[str, Any] = {
            "num_beams": beams,
            "num_return_sequences": int(numbers.integers(1, beams + 1)),
            "repetition_penalty": float(numbers.choice([1.0, 1.3, 0.7])),
            "no_repeat_ngram_size": int(numbers.integers(4)),
            "min_new_tokens": int(numbers.integers(6)) or None,
            "eos_token_id": numbers.choice(np.arange(1, WORDS), 4, replace=False).tolist(),
            "pad_token_id": 1,
            **({"max_length": 10} if turn % 2 else {"max_new_tokens": 6}),
        }
        ids = numbers.integers(0, WORDS, (2, 4))
        found = ours.generate(am.tensor(ids), **settings)
        expected = theirs.generate(
            torch.tensor(ids), attention_mask=torch.ones(2, 4), do_sample=False, **settings
        )
        assert found.tolist() == expected.tolist(), settings


def test_several_are_drawn_for_each_prompt() -> None:
    model = models.gpt2(**GPT2).eval()
    settings: dict[str, Any] = {"do_sample": True, "num_return_sequences": 3}
    found = model.generate(am.tensor(IDS), 4, attention_mask=LEFT, **settings)
    assert found[:, : IDS.shape[1]].tolist() == IDS.repeat(3, 0).tolist()
    assert len({tuple(row) for row in found[:3].tolist()}) > 1
    least = model.generate(am.tensor(IDS[:1]), 5, eos_token_id=[*range(1, WORDS)], min_length=9)
    assert (least[0, IDS.shape[1] : 9] == 0).all().item()


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_other_precisions_generate(dtype: str) -> None:
    model = models.llama_7b(**LLAMA).to(dtype).eval()
    said = model.generate(am.tensor(IDS), 3)
    assert said.shape == (2, 9)
    assert said[:, -1].tolist() == model(said[:, :-1])[:, -1].argmax(-1).tolist()


def test_a_model_that_said_something_is_let_go() -> None:
    references = []
    for _ in range(3):
        model = models.gpt2(**GPT2).eval()
        model.generate(IDS, 2), model.generate(IDS, 2, num_beams=2)
        references.append(weakref.ref(model.transformer.wte.weight))
        del model
    gc.collect()
    assert [reference() for reference in references] == [None] * 3


def test_speech_becomes_tokens() -> None:
    ours, theirs = CASES["whisper"].pair()
    found = ours.generate(am.tensor(SOUND), 3)
    said = torch.full((2, 1), 3)
    for _ in range(3):
        logits = theirs(torch.tensor(SOUND), decoder_input_ids=said).logits
        said = torch.cat([said, logits[:, -1:].argmax(-1)], 1)
    assert found.tolist() == said.tolist()


def test_filters_of_logits() -> None:
    logits = NUMBERS.standard_normal((3, 20)).astype(np.float32)
    for k in (1, 5, 30):
        expected = transformers.TopKLogitsWarper(k)(None, torch.tensor(logits))
        assert keep_top_k(am.tensor(logits), k).tolist() == expected.tolist()
    for p in (0.05, 0.5, 0.95):
        expected = transformers.TopPLogitsWarper(p)(None, torch.tensor(logits))
        assert keep_top_p(am.tensor(logits), p).tolist() == expected.tolist()


def test_drawn_tokens_follow_the_seed_and_the_filters() -> None:
    am.manual_seed(1)  # of new weights all tokens are about as likely: a low temperature tells
    model = models.gpt2(**GPT2).eval()
    prompt = am.tensor(IDS)

    def drawn(**settings: Any) -> Any:
        am.manual_seed(3)
        return model.generate(prompt, 8, do_sample=True, **settings).tolist()

    assert drawn(temperature=2.0) == drawn(temperature=2.0) != drawn(temperature=0.05)
    likeliest = model.generate(prompt, 8).tolist()
    assert drawn(top_k=1) == drawn(top_p=1e-6) == likeliest


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "words"),
    [
        ((IDS, 60), {}, ArgumentError, "places for 64"),
        ((IDS,), {"temperature": 0}, ArgumentError, "do_sample=False"),
        ((IDS,), {"top_p": 1.5}, ArgumentError, "0 < top_p <= 1"),
        ((IDS,), {"attention_mask": RIGHT}, ArgumentError, "padded at the left"),
        ((IDS,), {"attention_mask": LEFT[:1]}, ShapeError, "need that of input_ids"),
        ((IDS[0],), {}, ShapeError, "need .batch, tokens."),
        ((IDS * 1.0,), {}, DTypeError, "need integers"),
        ((IDS,), {"do_sample": True, "num_beams": 2}, ArgumentError, "one of them"),
        ((IDS,), {"attention_mask": RIGHT * [[0], [1]]}, ArgumentError, "only 0 in row 0"),
        ((IDS + 1000,), {}, IndexingError, "has token 1.*vocab_size is"),
        ((IDS,), {"eos_token_id": [1, 999]}, ArgumentError, "eos_token_id is .1, 999.*vocab_size"),
        ((IDS,), {"pad_token_id": -1}, ArgumentError, "pad_token_id is -1; vocab_size"),
        ((IDS,), {"eos_token_id": "a"}, ArgumentError, "eos_token_id is 'a'; need an integer"),
        ((IDS,), {"length_penalty": "a"}, ArgumentError, "length_penalty is 'a'; need a real"),
        ((IDS,), {"max_length": 2}, ArgumentError, "max_length is 2 for a prompt of"),
        ((IDS,), {"repetition_penalty": 0.0}, ArgumentError, "need a number above 0; 1 changes"),
        ((IDS,), {"no_repeat_ngram_size": -1}, ArgumentError, "need 0 or more"),
        ((IDS,), {"num_return_sequences": 2}, ArgumentError, "need do_sample or num_beams"),
        ((IDS,), {"num_return_sequences": 3, "num_beams": 2}, ArgumentError, "3 of num_beams=2"),
    ],
)
def test_mistakes_are_told(arguments, settings, error, words):
    model = models.gpt2(**GPT2)
    with pytest.raises(error, match=words):
        model.generate(*arguments, **settings)


def test_misspelt_settings_are_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"GPT2Config: .*'n_layers'.*Did you mean 'n_layer'"):
        GPT2Config(n_layers=2)
