"""Words as numbers: vocabularies, and the splitting of texts into words."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError, suggest
from ambos.data.column import Column, batches_of
from ambos.data.values import decoded, refuse_tensor
from ambos.data.vocabulary import Numbers, Vocabulary

MODES = ("int", "multi_hot", "count", "tf_idf")
STANDARDIZE = ("lower_and_strip_punctuation", "lower", "strip_punctuation")
SPLIT = ("whitespace", "character")
PADDING, UNKNOWN = "", "[UNK]"
PUNCTUATION = re.compile(f"[{re.escape(string.punctuation)}]")


class TextVectorization(Column):
    """Texts as numbers of their words, after `adapt` has learnt which words there are.

    A text is standardized (a name of Keras's, a function of one text, or None), split at
    "whitespace", into "character"s, by a function, or not at all (None), and grouped into `ngrams`
    (those of 1 to n words, or those of each length in a tuple). Words that `adapt` met most often
    come first; `max_tokens` is how many there are, with padding (0) and unknown words (1).
    `output_mode` "int" gives the numbers in order, padded or cut to `output_sequence_length`, or to
    the longest text; "multi_hot", "count" and "tf_idf" give a row with a place for each word, the
    unknown ones first (`pad_to_max_tokens` adds places for words that there are not).

    Shapes: a text or N of them, (N,) or (N, 1), to (L,) or (N, L); without L where texts are not
        split.
    Dtypes: int64 for "int", otherwise float32.
    Errors: ArgumentError before `adapt` and for settings that do not fit.
    Source: Keras's layer of this name; words are lowered as Unicode says, not as ASCII.

    Example:
        >>> words = TextVectorization(output_sequence_length=4)
        >>> words.adapt(["The cat sat.", "The dog"])
        >>> words.get_vocabulary()
        ['', '[UNK]', 'the', 'sat', 'dog', 'cat']
        >>> words(["the bird sat"]).tolist()
        [[2, 1, 3, 0]]
    """

    def __init__(
        self, max_tokens: int | None = None,
        standardize: str | Callable[[str], str] | None = "lower_and_strip_punctuation",
        split: str | Callable[[str], Sequence[str]] | None = "whitespace",
        ngrams: int | tuple[int, ...] | None = None, output_mode: str = "int",
        output_sequence_length: int | None = None, pad_to_max_tokens: bool = False,
        vocabulary: Iterable[str] | PathLike[str] | None = None, idf_weights: Any = None,
    ) -> None:  # fmt: skip
        for name, value, known in (
            ("standardize", standardize, STANDARDIZE),
            ("split", split, SPLIT),
            ("output_mode", output_mode, MODES),
        ):
            if value not in known and (name == "output_mode" or not _is_own(value)):
                raise ArgumentError(f"TextVectorization: {name} is {value!r}; need one of "
                                    f"{', '.join(known)}{suggest(str(value), known)}")  # fmt: skip
        if output_sequence_length is not None:
            positive("TextVectorization: output_sequence_length", output_sequence_length)
            if output_mode != "int":
                raise ArgumentError("TextVectorization: output_sequence_length goes with "
                                    "output_mode='int' only")  # fmt: skip
        if pad_to_max_tokens and max_tokens is None:
            raise ArgumentError("TextVectorization: pad_to_max_tokens needs max_tokens")
        self.ngrams, self.lengths = ngrams, None if ngrams is None else _lengths(ngrams)
        self.max_tokens, self.standardize, self.split = max_tokens, standardize, split
        self.output_mode, self.output_sequence_length = output_mode, output_sequence_length
        self.pad_to_max_tokens = pad_to_max_tokens
        special = [PADDING, UNKNOWN] if output_mode == "int" else [UNKNOWN]
        self.vocabulary = Vocabulary(
            "TextVectorization", special, max_tokens, output_mode == "tf_idf"
        )
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    def settings(self) -> dict[str, Any]:
        return super().settings() | self.vocabulary.settings()

    # Learning words

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learn the vocabulary of texts: one, a list of them, or an iterable of batches, of which
        `steps` are read. What was known before is forgotten."""
        are_batches = isinstance(data, (list, tuple)) and not _is_texts(data)
        counts: Counter[str] = Counter()
        documents: Counter[str] = Counter()
        total = 0
        for batch in batches_of("adapt", iter(data) if are_batches else data, steps):
            for text in _texts("adapt", batch):
                tokens = self.tokens(text)
                counts.update(tokens)
                documents.update(set(tokens))
                total += 1
        if not total:
            raise ArgumentError("adapt: got no texts; need at least one")
        self.vocabulary.learn(counts, documents, total)

    def set_vocabulary(
        self, vocabulary: Iterable[str] | PathLike[str], idf_weights: Any = None
    ) -> None:
        """Take these words, the most frequent first, with or without those for padding and unknown
        words; `idf_weights` has the weight of each for "tf_idf". A file has a word on each line."""
        self.vocabulary.set(vocabulary, idf_weights)

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The words, each at the place that is its number."""
        return self.vocabulary.entries(include_special_tokens)

    def vocabulary_size(self) -> int:
        """How many numbers there are, padding and unknown words counted."""
        return len(self.vocabulary)

    # Using them

    def tokens(self, text: str) -> list[str]:
        """The words of a text, or the groups of them, as they are looked up."""
        if _is_own(self.standardize):
            text = text if self.standardize is None else self.standardize(text)  # type: ignore[operator]  # no name: _is_own
        else:
            text = text.lower() if str(self.standardize).startswith("lower") else text
            text = PUNCTUATION.sub("", text) if self.standardize != "lower" else text
        if callable(self.split):
            words = list(self.split(text))
        elif self.split is None:
            words = [text]
        else:
            words = text.split() if self.split == "whitespace" else list(text)
        return words if self.lengths is None else list(_grouped(words, self.lengths))

    def __call__(self, texts: Any) -> Numbers:
        """The numbers of a text, or of a list or array of texts."""
        self.vocabulary.known()
        single = isinstance(texts, (str, bytes))
        number, unknown = self.vocabulary.number.get, len(self.vocabulary.special) - 1
        found = [
            [number(word, unknown) for word in self.tokens(text)]
            for text in _texts("TextVectorization", [texts] if single else texts)
        ]
        if self.output_mode == "int":
            rows = _filled(found, 0, self.output_sequence_length)
            is_one = self.split is None and self.lengths is None
            rows = rows[:, 0] if is_one and self.output_sequence_length is None else rows
        else:
            pad = self.pad_to_max_tokens
            rows = self.vocabulary.encoded(_filled(found, -1), self.output_mode, pad)
        return rows[0] if single else rows

    @property
    def idf(self) -> Numbers | None:
        """The weight of each word for "tf_idf"."""
        return self.vocabulary.weights

    def __repr__(self) -> str:
        size = (
            "not adapted" if self.vocabulary.tokens is None else f"{self.vocabulary_size()} words"
        )
        return f"TextVectorization({size}, output_mode={self.output_mode!r})"


def _is_own(way: Any) -> bool:
    return way is None or callable(way)


def _is_texts(data: Any) -> bool:
    if isinstance(data, (np.ndarray, str, bytes)):
        return True
    return isinstance(data, (list, tuple)) and any(isinstance(text, (str, bytes)) for text in data)


def _lengths(ngrams: Any) -> tuple[int, ...]:
    """How many words the groups have."""
    if not isinstance(ngrams, (tuple, list)):
        return tuple(range(1, positive("TextVectorization: ngrams", ngrams) + 1))
    if not ngrams:
        raise ArgumentError("TextVectorization: ngrams is empty; need a number of words, or some")
    return tuple(positive("TextVectorization: ngrams", length) for length in ngrams)


def _texts(op: str, batch: Any) -> Iterator[str]:
    """The texts of a batch: strings, bytes, or those in arrays (N,) or (N, 1)."""
    if isinstance(batch, (str, bytes)):
        batch = [batch]
    refuse_tensor(op, batch)
    if isinstance(batch, np.ndarray) and batch.ndim == 2 and batch.shape[1] == 1:
        batch = batch[:, 0]
    if not isinstance(batch, Iterable):
        raise ArgumentError(f"{op}: got {type(batch).__name__}; need texts, or batches of them")
    for place, text in enumerate(batch):
        if isinstance(text, bytes):
            yield decoded(op, text, f"text {place} has bytes")
        elif isinstance(text, str):
            yield str(text)
        else:
            raise ArgumentError(
                f"{op}: got {type(text).__name__} among the texts; need strings; of a dataset of "
                "pairs: dataset.map(lambda text, label: text)"
            )


def _filled(found: list[list[int]], filler: int, length: int | None = None) -> Numbers:
    """Lists as rows of one length, or of the longest."""
    rows = np.full((len(found), length or max(map(len, found), default=0)), filler, np.int64)
    for row, numbers in zip(rows, found, strict=True):
        kept = numbers[: len(row)]
        row[: len(kept)] = kept
    return rows


def _grouped(words: list[str], lengths: tuple[int, ...]) -> Iterator[str]:
    for length in lengths:
        for start in range(len(words) - length + 1):
            yield " ".join(words[start : start + length])
