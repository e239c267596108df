"""`generate`: a prompt, continued token by token over a cache of keys and values.

The pass over the prompt and the step for one token are jitted, so after the first tokens of a new
length nothing is compiled. What is drawn comes from the global stream (`am.manual_seed`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from ambos.core import tree
from ambos.core.arguments import checked, integer, number, positive
from ambos.core.errors import ArgumentError, DTypeError, IndexingError, ShapeError, TracingError
from ambos.models.beams import search
from ambos.models.constraints import Constraints, Limits
from ambos.models.decoding import Cache, CacheSizes, Memory
from ambos.models.sampling import Choice
from ambos.nn.functional.shared import as_tensor
from ambos.tensor.handle import Tensor
from ambos.tensor.jit import jit
from ambos.tensor.joining import cat
from ambos.tensor.modes import no_grad


class Decoder(Protocol):
    """What generation asks of a model. `context` is what else a pass needs, such as the states of
    an encoder, by names."""

    @property
    def config(self) -> Any:
        """It has a `vocab_size`."""

    @property
    def most_tokens(self) -> int:
        """How many places there are."""

    @property
    def cache_sizes(self) -> CacheSizes:
        """What a token takes in the cache."""

    def parameters(self) -> Iterator[Tensor]:
        """Their dtype is that of the cache."""

    def decode(self, tokens: Tensor, cache: Cache, **context: Any) -> tuple[Tensor, Cache]:
        """(logits of what follows the last of `tokens` (batch, words), the cache with them)."""


class Generates:
    """Mixin for models that are decoders."""

    @checked
    def generate(
        self: Decoder,
        input_ids: Any,
        max_new_tokens: int | None = None,
        *,
        max_length: int | None = None,
        min_new_tokens: int | None = None,
        min_length: int = 0,
        attention_mask: Any = None,
        do_sample: bool = False,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        num_beams: int = 1,
        length_penalty: float = 1.0,
        early_stopping: bool = False,
        repetition_penalty: float = 1.0,
        no_repeat_ngram_size: int = 0,
        num_return_sequences: int = 1,
        eos_token_id: int | Sequence[int] | None = None,
        pad_token_id: int | None = None,
        context: dict[str, Any] | None = None,
    ) -> Tensor:
        """The prompts and what follows: (batch, tokens), at most `max_new_tokens` of them new (20),
        or `max_length` with the prompt. `min_new_tokens` and `min_length` are the fewest before a
        sentence may end.

        The likeliest token follows; with `do_sample` one is drawn, at `temperature`, among the
        `top_k` likeliest and the fewest that are likely together as `top_p`. With `num_beams` the
        likeliest of so many sentences that are followed side by side is taken, by its
        log-probability over its length to the power of `length_penalty`. A sentence ends with
        `eos_token_id`, or one of several; behind that comes `pad_token_id` (by default the first
        of them). Words that were said (in the prompt, too) lose likelihood by `repetition_penalty`,
        and no `no_repeat_ngram_size` words follow one another twice. `num_return_sequences` is how
        many are drawn for each prompt, or how many of the beams are given: rows side by side.
        Dropout acts as the model's mode says: call `eval()` before.

        Prompts of different lengths are padded at the left, with 0 there in `attention_mask`.

        Shapes: input_ids (batch, tokens), attention_mask the same.
        Errors: ArgumentError for settings out of range, too many tokens, and padding elsewhere;
            ShapeError, DTypeError for a prompt that is none; IndexingError for a token that the
            model does not know.
        Source: beams: Wu et al. (2016), "Google's neural machine translation system".
        """
        prompt = _prompt(input_ids)
        batch, given = prompt.shape
        new = _new_tokens(max_new_tokens, max_length, given)
        beams, several = (
            positive(name, value)
            for name, value in (
                ("num_beams", num_beams), ("num_return_sequences", num_return_sequences)
            )
        )  # fmt: skip
        if given + new > self.most_tokens:
            raise ArgumentError(
                f"generate: {given} tokens and {new} new ones; the model has places for "
                f"{self.most_tokens}; need a shorter prompt or max_new_tokens"
            )
        choice = Choice(do_sample, temperature, top_k, top_p)
        choice.check()
        padding = None if attention_mask is None else _padding(attention_mask, prompt)
        penalty = number("generate: length_penalty", length_penalty)
        words = int(self.config.vocab_size)
        _known_tokens(prompt, words)
        ends = _tokens("eos_token_id", eos_token_id, words)
        filler = (*_tokens("pad_token_id", pad_token_id, words)[:1], *ends, 0)[0]
        least = max(integer("min_length", min_length), given + (min_new_tokens or 0))
        constraints = Constraints(
            repetition_penalty, no_repeat_ngram_size, least if ends and least > given else 0, ends,
            words,
        )  # fmt: skip
        constraints.check()
        more = context or {}
        dtype = next(iter(self.parameters())).dtype
        with no_grad():
            if beams > 1:
                if do_sample:
                    raise ArgumentError("generate: do_sample and num_beams; need one of them")
                if several > beams:
                    raise ArgumentError(f"generate: num_return_sequences is {several} of num_beams="
                                        f"{beams}; need at most as many")  # fmt: skip
                return search(
                    self, prompt, dtype, padding, new, beams, penalty, early_stopping,
                    constraints, filler, several, more,
                )  # fmt: skip
            if several > 1:
                if not do_sample:
                    raise ArgumentError("generate: num_return_sequences of what is not drawn are "
                                        "all the same; need do_sample or num_beams")  # fmt: skip
                rows = Tensor(np.repeat(np.arange(batch), several))
                prompt, padding, more = tree.map(lambda part: part[rows], (prompt, padding, more))
            cache = Cache.empty(self.cache_sizes, batch * several, given + new, dtype, padding)
            return _continued(self, choice, constraints, prompt, cache, new, filler, more)


class Remembers(Decoder, Protocol):
    """What generation asks of a model with an encoder."""

    @property
    def first_token(self) -> int:
        """What the decoder is given to begin with."""

    def remember(self, inputs: Any, attention_mask: Any = None) -> Memory:
        """What the decoder looks at; `decode` takes it as `memory`."""


class Transduces:
    """Mixin for models that have an encoder, too."""

    @checked
    def generate(
        self: Remembers,
        inputs: Any,
        max_new_tokens: int | None = None,
        *,
        attention_mask: Any = None,
        decoder_input_ids: Any = None,
        **settings: Any,
    ) -> Tensor:
        """What the decoder says about `inputs`, its first token included: (batch, tokens).

        `decoder_input_ids` are what it has said already, by default the token that it begins with.
        Other settings are those of a decoder's `generate`.

        Shapes: inputs as the encoder takes them, attention_mask (batch, its tokens),
            decoder_input_ids (batch, tokens).
        Errors: as a decoder's.
        """
        with no_grad():
            memory = _remembered(self, as_tensor(inputs), attention_mask)
        if decoder_input_ids is None:
            batch = memory.keys[0].shape[0]
            decoder_input_ids = Tensor(np.full((batch, 1), self.first_token))
        return Generates.generate(
            self, decoder_input_ids, max_new_tokens, context={"memory": memory}, **settings
        )


@jit
def _remembered(model: Remembers, inputs: Tensor, attention_mask: Any) -> Memory:
    return model.remember(inputs, attention_mask)


def _continued(
    model: Decoder, choice: Choice, constraints: Constraints, prompt: Tensor, cache: Cache,
    new: int, filler: int, context: dict[str, Any],
) -> Tensor:  # fmt: skip
    tokens, found, ends = prompt, [prompt], constraints.ends
    ended = np.zeros(prompt.shape[0], bool)
    for _ in range(new):
        limits = constraints.of(cat(found, 1).tolist()) if constraints.hold() else None
        token, cache = _next(model, choice, tokens, cache, limits, context)
        tokens = token.unsqueeze(1)
        if ends:
            said = np.where(ended, filler, token.numpy())
            ended |= np.isin(said, ends)
            tokens = Tensor(said[:, None])
        found.append(tokens)
        if ended.all():
            break
    return cat(found, 1)


@partial(jit, donate_argnums=3)
def _next(
    model: Decoder, choice: Choice, tokens: Tensor, cache: Cache, limits: Limits | None,
    context: dict[str, Any],
) -> tuple[Tensor, Cache]:  # fmt: skip
    logits, cache = model.decode(tokens, cache, **context)
    return choice(logits if limits is None else limits(logits)), cache


def _new_tokens(most: int | None, length: int | None, given: int) -> int:
    """How many tokens follow a prompt of `given`."""
    if most is not None:
        return positive("max_new_tokens", most)
    if length is None:
        return 20
    if positive("max_length", length) <= given:
        raise ArgumentError(f"generate: max_length is {length} for a prompt of {given} tokens; "
                            "need more, or max_new_tokens")  # fmt: skip
    return length - given


def _prompt(input_ids: Any) -> Tensor:
    prompt = as_tensor(input_ids)
    if prompt.ndim != 2 or not prompt.shape[1]:
        raise ShapeError(f"generate: input_ids is {tuple(prompt.shape)}; need (batch, tokens), "
                         "at least one token")  # fmt: skip
    if not prompt.dtype.is_integer:
        raise DTypeError(f"generate: input_ids is {prompt.dtype.name}; need integers")
    return prompt.to("int64")


def _known_tokens(prompt: Tensor, words: int) -> None:
    """An IndexingError for a token of the prompt outside of the vocabulary."""
    try:
        tokens = prompt.numpy()
    except TracingError:  # the embedding looks at it
        return
    foreign = tokens[(tokens < 0) | (tokens >= words)]
    if foreign.size:
        raise IndexingError(f"generate: input_ids has token {foreign[0]}; vocab_size is {words}: "
                            f"need tokens from 0 to {words - 1}, those of the model's own "
                            "tokenizer")  # fmt: skip


def _tokens(name: str, given: int | Sequence[int] | None, words: int) -> tuple[int, ...]:
    """The tokens that a setting stands for, all in the vocabulary."""
    if given is None:
        return ()
    several = given if isinstance(given, (list, tuple)) else [given]
    tokens = tuple(dict.fromkeys(integer(f"generate: {name}", token) for token in several))
    if not all(0 <= token < words for token in tokens):
        raise ArgumentError(f"generate: {name} is {given}; vocab_size is {words}: need tokens "
                            f"from 0 to {words - 1}")  # fmt: skip
    return tokens


def _padding(attention_mask: Any, prompt: Tensor) -> Tensor:
    """How many tokens at the left of each prompt are padding."""
    mask = np.asarray(as_tensor(attention_mask).numpy()) != 0
    if mask.shape != tuple(prompt.shape):
        raise ShapeError(f"generate: attention_mask is {mask.shape}; need that of input_ids, "
                         f"{tuple(prompt.shape)}")  # fmt: skip
    if not mask.any(1).all():
        row = int(np.flatnonzero(~mask.any(1))[0])
        raise ArgumentError(f"generate: attention_mask has only 0 in row {row}; need at least one "
                            "token in each prompt")  # fmt: skip
    if (np.diff(mask.astype(int), axis=1) < 0).any() or not mask[:, -1].all():
        raise ArgumentError("generate: attention_mask has a 0 behind a 1; need prompts padded at "
                            "the left")  # fmt: skip
    return Tensor((~mask).sum(1))
