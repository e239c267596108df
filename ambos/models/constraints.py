"""What must not be said next: too soon the end, the same words again.

Source: Keskar, McCann, Varshney, Xiong, Socher (2019), "CTRL" (repetition penalty); Paulus, Xiong,
Socher (2018), "A deep reinforced model for abstractive summarization" (no n-gram twice).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ambos.core.arguments import integer, number
from ambos.core.errors import ArgumentError
from ambos.models.sampling import LOWEST
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where


class Limits(NamedTuple):
    """For a step: which words (rows, words) were said, what that costs, which are out."""

    said: Tensor
    penalty: Tensor
    out: Tensor

    def __call__(self, scores: Tensor) -> Tensor:
        """The scores of the next words, with this in them."""
        dear = where(scores < 0, scores * self.penalty, scores / self.penalty)
        return where(self.out, LOWEST, where(self.said, dear, scores))


class Constraints(NamedTuple):
    """Settings of `generate`, all of which look at the words so far."""

    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    least: int = 0  # words, the prompt among them, before a sentence may end
    ends: tuple[int, ...] = ()
    words: int = 0

    def check(self) -> None:
        """An ArgumentError for settings out of range."""
        if not number("generate: repetition_penalty", self.repetition_penalty) > 0:
            raise ArgumentError(f"generate: repetition_penalty is {self.repetition_penalty!r}; "
                                "need a number above 0; 1 changes nothing")  # fmt: skip
        if integer("generate: no_repeat_ngram_size", self.no_repeat_ngram_size) < 0:
            raise ArgumentError(f"generate: no_repeat_ngram_size is {self.no_repeat_ngram_size}; "
                                "need 0 or more")  # fmt: skip

    def hold(self) -> bool:
        """Is there anything to heed?"""
        return self.repetition_penalty != 1 or self.no_repeat_ngram_size > 0 or self.least > 0

    def of(self, sentences: Sequence[Sequence[int]]) -> Limits | None:
        """What holds for the next word of each sentence; None if nothing ever does."""
        if not self.hold():
            return None
        said, out = (np.zeros((len(sentences), self.words), bool) for _ in range(2))
        for row, sentence in enumerate(sentences):
            said[row, [*sentence]] = self.repetition_penalty != 1
            out[row, self._again(sentence)] = True
            if len(sentence) < self.least:
                out[row, [*self.ends]] = True
        penalty = np.asarray(self.repetition_penalty, np.float32)
        return Limits(Tensor(said), Tensor(penalty), Tensor(out))

    def _again(self, sentence: Sequence[int]) -> list[int]:
        """The words that would say something of `no_repeat_ngram_size` words a second time."""
        before = self.no_repeat_ngram_size - 1
        if before < 0 or len(sentence) < before:
            return []
        last = [*sentence[len(sentence) - before :]]
        places = range(len(sentence) - before)
        return [sentence[at + before] for at in places if [*sentence[at : at + before]] == last]
