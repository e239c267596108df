"""A GPT-2 of 11 million parameters continues a prompt: `generate` of each library, greedily.

In PyTorch that is Hugging Face's transformers, with its cache of keys and values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.models.weights import NET, of
from bench.workload import Call, Data

PROMPT, NEW = 32, 128
SIZES = {"vocab_size": 256, "n_positions": 256, "n_embd": 384, "n_layer": 6, "n_head": 6}


def data() -> Data:
    """A prompt, and weights large enough that words follow each other unlike in a drone."""
    import ambos as am

    am.manual_seed(0)
    state = am.models.gpt2(**SIZES).state_dict()
    weights = {NET + name: value.numpy() * 4 for name, value in state.items()}
    return weights | {"prompt": np.random.default_rng(1).integers(0, 256, (1, PROMPT))}


def flops() -> float:
    """Every weight once for every token, and the scores with those before it."""
    width, layers = SIZES["n_embd"], SIZES["n_layer"]
    tokens = PROMPT + NEW - 1
    seen = tokens * (tokens + 1) // 2
    weights = layers * 12 * width * width
    head = NEW * width * SIZES["vocab_size"]
    return 2.0 * (tokens * weights + head + layers * 2 * width * seen)


def with_ambos(data: Data) -> Call:
    import ambos as am

    net = am.models.gpt2(**SIZES, weights=of(data)).eval()
    prompt = am.tensor(data["prompt"])
    return lambda: net.generate(prompt, NEW).numpy()


def with_torch(data: Data) -> Call:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(**SIZES, bos_token_id=None, eos_token_id=None)
    net = GPT2LMHeadModel(config).eval()
    net.load_state_dict({name: torch.from_numpy(value) for name, value in of(data).items()})
    prompt = torch.from_numpy(data["prompt"])
    mask = torch.ones_like(prompt)

    def call() -> Any:
        return net.generate(
            prompt, attention_mask=mask, max_new_tokens=NEW, do_sample=False, pad_token_id=0
        )

    return call
