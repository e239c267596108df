"""Beam search: several sentences side by side, the likeliest wins.

Source: Wu et al. (2016), "Google's neural machine translation system", in the form of Hugging
Face's transformers.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ambos.core import tree
from ambos.core.dtype import DType
from ambos.models.decoding import Cache
from ambos.tensor.handle import Tensor
from ambos.tensor.jit import jit


class Finished:
    """The best sentences of one prompt that have come to their end."""

    def __init__(self, beams: int, length_penalty: float, early_stopping: bool) -> None:
        self.beams, self.length_penalty = beams, length_penalty
        self.early_stopping = early_stopping
        self.found: list[tuple[float, list[int]]] = []

    def add(self, words: list[int], score: float, length: int) -> None:
        """A sentence of `length` new tokens whose log-probabilities sum up to `score`."""
        self.found.append((score / length**self.length_penalty, words))
        self.found.sort(key=lambda entry: -entry[0])
        del self.found[self.beams :]

    def is_done(self, best: float, length: int) -> bool:
        """Can no sentence that is still going on, the best of which has `best`, get among them?"""
        if len(self.found) < self.beams:
            return False
        return self.early_stopping or self.found[-1][0] >= best / length**self.length_penalty


def search(
    model: Any, prompt: Tensor, dtype: DType, padding: Tensor | None, new: int, beams: int,
    length_penalty: float, early_stopping: bool, eos: int | None, filler: int,
    context: dict[str, Any],
) -> Tensor:  # fmt: skip
    """The prompts with the likeliest sentence that `beams` find, padded with `filler`."""
    batch, given = prompt.shape
    wide = np.repeat(np.arange(batch), beams)
    blank = None if padding is None else padding[Tensor(wide)]
    cache = Cache.empty(model.cache_sizes, batch * beams, given + new, dtype, blank)
    context = tree.map(lambda part: part[Tensor(wide)], context)
    words = [list(row) for row in prompt[Tensor(wide)].tolist()]
    scores = np.full((batch, beams), -np.inf, np.float32)
    scores[:, 0] = 0  # all beams begin alike: only one counts
    finished = [Finished(beams, length_penalty, early_stopping) for _ in range(batch)]
    done = np.zeros(batch, bool)
    tokens, order = prompt[Tensor(wide)], Tensor(np.arange(batch * beams))
    for length in range(1, new + 1):
        best, at, cache = _candidates(model, tokens, cache, order, Tensor(scores), context)
        values, places = best.numpy(), at.numpy()
        sources = np.arange(batch * beams).reshape(batch, beams)
        nexts = np.full((batch, beams), filler)
        vocabulary = int(model.config.vocab_size)
        for row in np.flatnonzero(~done).tolist():
            taken = 0
            for rank, (score, place) in enumerate(zip(values[row], places[row], strict=True)):
                beam, token = row * beams + int(place) // vocabulary, int(place) % vocabulary
                if token == eos:
                    if rank < beams:
                        finished[row].add([*words[beam], token], float(score), length)
                    continue
                sources[row, taken], nexts[row, taken] = beam, token
                scores[row, taken] = score
                taken += 1
                if taken == beams:
                    break
            done[row] = finished[row].is_done(float(values[row].max()), length)
        going_on = zip(sources.reshape(-1).tolist(), nexts.reshape(-1).tolist(), strict=True)
        words = [[*words[source], said] for source, said in going_on]
        tokens, order = Tensor(nexts.reshape(-1, 1)), Tensor(sources.reshape(-1))
        if done.all():
            break
    for row in np.flatnonzero(~done).tolist():
        for beam in range(beams):
            score = float(scores[row, beam])
            finished[row].add(words[row * beams + beam], score, len(words[0]) - given)
    chosen = [entry.found[0][1] for entry in finished]
    longest = max(map(len, chosen))
    return Tensor(np.array([row + [filler] * (longest - len(row)) for row in chosen]))


@partial(jit, donate_argnames="cache")
def _candidates(
    model: Any, tokens: Tensor, cache: Cache, order: Tensor, scores: Tensor, context: dict[str, Any]
) -> tuple[Tensor, Tensor, Cache]:
    """Log-probabilities and places (beam * words + word) of twice as many continuations as there
    are beams, and the cache. `order` says which beam each one goes on from."""
    keys = tuple(part.index_select(0, order) for part in cache.keys)
    values = tuple(part.index_select(0, order) for part in cache.values)
    logits, cache = model.decode(tokens, cache._replace(keys=keys, values=values), **context)
    batch, beams = scores.shape
    total = logits.log_softmax(-1).unflatten(0, (batch, beams)) + scores.unsqueeze(-1)
    best, at = total.flatten(1).topk(2 * beams)
    return best, at, cache
