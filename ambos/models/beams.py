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
from ambos.models.constraints import Constraints, Limits
from ambos.models.decoding import Cache
from ambos.tensor.handle import Tensor
from ambos.tensor.jit import jit


class Finished:
    """The best sentences of one prompt that have come to their end."""

    def __init__(self, beams: int, length_penalty: float, early_stopping: bool) -> None:
        self.beams, self.length_penalty = beams, length_penalty
        self.early_stopping = early_stopping
        self.found: list[tuple[float, list[int]]] = []

    def add(self, words: list[int], score: Any, length: int) -> None:
        """A sentence of `length` new tokens whose log-probabilities sum up to `score`."""
        self.found.append((score / length**self.length_penalty, words))
        self.found.sort(key=lambda entry: -entry[0])
        del self.found[self.beams :]

    def is_done(self, best: Any, length: int) -> bool:
        """Can no sentence that is still going on, the best of which has `best`, get among them?"""
        if len(self.found) < self.beams:
            return False
        return self.early_stopping or self.found[-1][0] >= best / length**self.length_penalty


def search(
    model: Any, prompt: Tensor, dtype: DType, padding: Tensor | None, new: int, beams: int,
    length_penalty: float, early_stopping: bool, constraints: Constraints, filler: int,
    best_of: int, context: dict[str, Any],
) -> Tensor:  # fmt: skip
    """The prompts with the `best_of` likeliest sentences of `beams`, padded with `filler`."""
    ends = constraints.ends
    batch, given = prompt.shape
    wide = np.repeat(np.arange(batch), beams)
    blank = None if padding is None else padding[Tensor(wide)]
    cache = Cache.empty(model.cache_sizes, batch * beams, given + new, dtype, blank)
    context = tree.map(lambda part: part[Tensor(wide)], context)
    words = [list(row) for row in prompt[Tensor(wide)].tolist()]
    scores = np.full((batch, beams), -1e9, np.float32)
    scores[:, 0] = 0  # all beams begin alike: only one counts
    finished = [Finished(beams, length_penalty, early_stopping) for _ in range(batch)]
    done, vocabulary = np.zeros(batch, bool), int(model.config.vocab_size)
    kept = max(2, 1 + len(ends)) * beams  # so many that `beams` of them go on whatever ends
    tokens, order = prompt[Tensor(wide)], Tensor(np.arange(batch * beams))
    for length in range(1, new + 1):
        limits = constraints.of(words)
        best, at, cache = _candidates(
            model, kept, tokens, cache, order, Tensor(scores), limits, context
        )
        values, places = best.numpy(), at.numpy()
        sources = np.arange(batch * beams).reshape(batch, beams)
        nexts = np.full((batch, beams), filler)
        for row in np.flatnonzero(~done).tolist():
            taken = 0
            for rank, (score, place) in enumerate(zip(values[row], places[row], strict=True)):
                beam, token = row * beams + int(place) // vocabulary, int(place) % vocabulary
                if length == new or token in ends:
                    if rank < beams:
                        finished[row].add([*words[beam], token], score, length)
                elif taken < beams:
                    sources[row, taken], nexts[row, taken] = beam, token
                    scores[row, taken] = score
                    taken += 1
            done[row] = finished[row].is_done(scores[row, 0], length)
        going_on = zip(sources.reshape(-1).tolist(), nexts.reshape(-1).tolist(), strict=True)
        words = [[*words[source], said] for source, said in going_on]
        tokens, order = Tensor(nexts.reshape(-1, 1)), Tensor(sources.reshape(-1))
        if done.all():
            break
    chosen = [row for entry in finished for _, row in entry.found[:best_of]]
    longest = max(map(len, chosen))
    return Tensor(np.array([row + [filler] * (longest - len(row)) for row in chosen]))


@partial(jit, donate_argnums=3)
def _candidates(
    model: Any, kept: int, tokens: Tensor, cache: Cache, order: Tensor, scores: Tensor,
    limits: Limits | None, context: dict[str, Any],
) -> tuple[Tensor, Tensor, Cache]:  # fmt: skip
    """Log-probabilities and places (beam * words + word) of the `kept` likeliest continuations,
    and the cache. `order` says which beam each one goes on from."""
    keys = tuple(part.index_select(0, order) for part in cache.keys)
    values = tuple(part.index_select(0, order) for part in cache.values)
    logits, cache = model.decode(tokens, cache._replace(keys=keys, values=values), **context)
    likely = logits.log_softmax(-1)
    likely = likely if limits is None else limits(likely)
    total = likely.unflatten(0, scores.shape) + scores.unsqueeze(-1)
    best, at = total.flatten(1).topk(kept)
    return best, at, cache
