"""Words as numbers: vocabularies, and the splitting of texts into words."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import Checked, positive
from ambos.core.errors import ArgumentError, suggest

MODES = ("int", "multi_hot", "count", "tf_idf")
STANDARDIZE = ("lower_and_strip_punctuation", "lower", "strip_punctuation")
SPLIT = ("whitespace", "character")
PADDING, UNKNOWN = "", "[UNK]"
PUNCTUATION = re.compile(f"[{re.escape(string.punctuation)}]")
Numbers = NDArray[Any]


class TextVectorization(metaclass=Checked):
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
        if max_tokens is not None:
            positive("TextVectorization: max_tokens", max_tokens, least=2)
        if output_sequence_length is not None:
            positive("TextVectorization: output_sequence_length", output_sequence_length)
            if output_mode != "int":
                raise ArgumentError("TextVectorization: output_sequence_length goes with "
                                    "output_mode='int' only")  # fmt: skip
        if pad_to_max_tokens and max_tokens is None:
            raise ArgumentError("TextVectorization: pad_to_max_tokens needs max_tokens")
        self.lengths = None if ngrams is None else _lengths(ngrams)
        self.max_tokens, self.standardize, self.split = max_tokens, standardize, split
        self.output_mode, self.output_sequence_length = output_mode, output_sequence_length
        self.pad_to_max_tokens = pad_to_max_tokens
        self.special = [PADDING, UNKNOWN] if output_mode == "int" else [UNKNOWN]
        self.words: list[str] | None = None
        self.number: dict[str, int] = {}
        self.idf: Numbers | None = None
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    # Learning words

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learn the vocabulary of texts: one, a list of them, or an iterable of batches, of which
        `steps` are read. What was known before is forgotten."""
        batches: Iterable[Any] = [data] if _is_texts(data) else data
        counts: Counter[str] = Counter()
        documents: Counter[str] = Counter()
        total = 0
        for number, batch in enumerate(batches):
            if steps is not None and number >= steps:
                break
            for text in _texts("adapt", batch):
                tokens = self.tokens(text)
                counts.update(tokens)
                documents.update(set(tokens))
                total += 1
        if not total:
            raise ArgumentError("adapt: got no texts; need at least one")
        for special in self.special:
            counts.pop(special, None)
        room = None if self.max_tokens is None else self.max_tokens - len(self.special)
        # Of words that are equally frequent Keras takes the last of the alphabet first.
        ranked = sorted(counts.items(), key=lambda entry: (entry[1], entry[0]), reverse=True)
        words = [word for word, _ in ranked[:room]]
        if self.output_mode != "tf_idf":
            return self.set_vocabulary(words)
        idf = np.log(1 + total / (1 + np.array([documents[word] for word in words], np.float64)))
        self.set_vocabulary(words, idf)

    def set_vocabulary(
        self, vocabulary: Iterable[str] | PathLike[str], idf_weights: Any = None
    ) -> None:
        """Take these words, the most frequent first, with or without those for padding and unknown
        words; `idf_weights` has the weight of each for "tf_idf". A file has a word on each line."""
        if idf_weights is not None and self.output_mode != "tf_idf":
            raise ArgumentError("set_vocabulary: idf_weights go with output_mode='tf_idf' only; "
                                f"this is {self.output_mode!r}")  # fmt: skip
        given = _words(vocabulary)
        weights = None if idf_weights is None else np.asarray(idf_weights, np.float64)
        unknown = None
        if given[: len(self.special)] == self.special:
            given = given[len(self.special) :]
            if weights is not None and len(weights) > len(given):
                unknown, weights = weights[:1], weights[1:]
        again = [word for word, count in Counter(given).items() if count > 1]
        if again or set(given) & set(self.special):
            raise ArgumentError(f"set_vocabulary: {(again or self.special)[0]!r} is there twice or "
                                "out of place; need each word once")  # fmt: skip
        size = len(given) + len(self.special)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ArgumentError(f"set_vocabulary: {size} words, the special ones counted; "
                                f"max_tokens is {self.max_tokens}")  # fmt: skip
        if self.output_mode == "tf_idf":
            if weights is None or len(weights) != len(given):
                raise ArgumentError("set_vocabulary: output_mode is 'tf_idf'; need idf_weights, "
                                    "one for each word")  # fmt: skip
            if unknown is None:
                unknown = weights.mean(keepdims=True) if len(weights) else np.zeros(1)
            self.idf = np.concatenate([unknown, weights]).astype(np.float32)
        self.words = given
        self.number = {word: place for place, word in enumerate(given, len(self.special))}

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The words, each at the place that is its number."""
        return (self.special if include_special_tokens else []) + self._known()

    def vocabulary_size(self) -> int:
        """How many numbers there are, padding and unknown words counted."""
        return len(self.special) + len(self._known())

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
        self._known()
        single = isinstance(texts, (str, bytes))
        unknown = self.number.get
        found = [
            [unknown(word, self.special.index(UNKNOWN)) for word in self.tokens(text)]
            for text in _texts("TextVectorization", [texts] if single else texts)
        ]
        rows = self._ordered(found) if self.output_mode == "int" else self._counted(found)
        return rows[0] if single else rows

    def _ordered(self, found: list[list[int]]) -> Numbers:
        length = self.output_sequence_length or max(map(len, found), default=0)
        rows = np.zeros((len(found), length), np.int64)
        for row, numbers in zip(rows, found, strict=True):
            kept = numbers[:length]
            row[: len(kept)] = kept
        is_one = self.split is None and self.lengths is None
        return rows[:, 0] if is_one and self.output_sequence_length is None else rows

    def _counted(self, found: list[list[int]]) -> Numbers:
        size = self.max_tokens if self.pad_to_max_tokens and self.max_tokens else None
        rows = np.zeros((len(found), size or self.vocabulary_size()), np.float32)
        for row, numbers in zip(rows, found, strict=True):
            np.add.at(row, numbers, 1)
        if self.output_mode == "multi_hot":
            return np.minimum(rows, 1)
        if self.idf is not None:
            rows[:, : len(self.idf)] *= self.idf
        return rows

    def _known(self) -> list[str]:
        if self.words is None:
            raise ArgumentError("TextVectorization: has no vocabulary yet; need adapt(texts) first")
        return self.words

    def __repr__(self) -> str:
        size = "not adapted" if self.words is None else f"{self.vocabulary_size()} words"
        return f"TextVectorization({size}, output_mode={self.output_mode!r})"


def _is_own(way: Any) -> bool:
    return way is None or callable(way)


def _is_texts(data: Any) -> bool:
    if isinstance(data, (np.ndarray, str, bytes)):
        return True
    return isinstance(data, (list, tuple)) and any(isinstance(text, (str, bytes)) for text in data)


def _words(vocabulary: Any) -> list[str]:
    """The words of a list, or of the lines of a file.

    Errors: ArgumentError.
    """
    if isinstance(vocabulary, (str, PathLike)):
        try:
            text = Path(vocabulary).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ArgumentError(
                f"set_vocabulary: {str(vocabulary)!r} cannot be read ({error}); need words in a "
                "list, or the name of a UTF-8 file with a word on each line"
            ) from error
        return text.removesuffix("\n").split("\n")
    given = list(vocabulary)
    strange = next((word for word in given if not isinstance(word, str)), None)
    if strange is not None:
        raise ArgumentError(f"set_vocabulary: got {strange!r} among the words; need strings")
    return given


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
    if isinstance(batch, np.ndarray) and batch.ndim == 2 and batch.shape[1] == 1:
        batch = batch[:, 0]
    if not isinstance(batch, Iterable):
        raise ArgumentError(f"{op}: got {type(batch).__name__}; need texts, or batches of them")
    for place, text in enumerate(batch):
        if isinstance(text, bytes):
            try:
                yield text.decode()
            except UnicodeDecodeError as error:
                raise ArgumentError(f"{op}: text {place} has bytes that are no UTF-8 ({error}); "
                                    "need text.decode(encoding) of them")  from error  # fmt: skip
        elif isinstance(text, str):
            yield str(text)
        else:
            raise ArgumentError(
                f"{op}: got {type(text).__name__} among the texts; need strings; of a dataset of "
                "pairs: dataset.map(lambda text, label: text)"
            )


def _grouped(words: list[str], lengths: tuple[int, ...]) -> Iterator[str]:
    for length in lengths:
        for start in range(len(words) - length + 1):
            yield " ".join(words[start : start + length])
