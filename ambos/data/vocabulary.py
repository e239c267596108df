"""Tokens and their numbers: what `adapt` learns and what is looked up, words and integers alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import positive
from ambos.core.dtype import float32
from ambos.core.errors import ArgumentError
from ambos.tensor.handle import Tensor

Numbers = NDArray[Any]
Token = Any  # a string or an integer


class Vocabulary:
    """Tokens, each at the place that is its number, after the `special` ones: those for padding and
    for what is not known.

    `max_tokens` counts the special ones too. A `weighted` vocabulary has a weight for each token,
    its inverse document frequency; that of the special ones is the mean unless it is given.

    Example:
        >>> words = Vocabulary("words", ["", "[UNK]"])
        >>> words.learn(Counter("hello"))
        >>> words.entries(), words.number["l"]
        (['', '[UNK]', 'l', 'o', 'h', 'e'], 2)
    """

    def __init__(
        self, owner: str, special: Sequence[Token], max_tokens: int | None = None,
        weighted: bool = False, kind: type = str, barred: Sequence[Token] = (),
    ) -> None:  # fmt: skip
        if max_tokens is not None:
            positive(f"{owner}: max_tokens", max_tokens, least=max(2, len(special)))
        self.owner, self.special, self.max_tokens = owner, list(special), max_tokens
        self.weighted, self.kind = weighted, kind
        self.barred = {*special, *barred}  # never learnt
        self.tokens: list[Token] | None = None
        self.number: dict[Token, int] = {}
        self.weights: Numbers | None = None

    def learn(
        self, counts: Counter[Any], documents: Counter[Any] | None = None, total: int = 0
    ) -> None:
        """The most frequent tokens, and weights by how many of `total` documents have them."""
        room = None if self.max_tokens is None else self.max_tokens - len(self.special)
        known = ((token, count) for token, count in counts.items() if token not in self.barred)
        # Of tokens that are equally frequent Keras takes the last one first.
        ranked = sorted(known, key=lambda entry: (entry[1], entry[0]), reverse=True)
        tokens = [token for token, _ in ranked[:room]]
        if documents is None or not self.weighted:
            return self.set(tokens)
        found = np.array([documents[token] for token in tokens], np.float64)
        self.set(tokens, np.log(1 + total / (1 + found)))

    def set(
        self, vocabulary: Iterable[Token] | str | PathLike[str], idf_weights: Any = None
    ) -> None:
        """Take these tokens, with or without the special ones at their head.

        Errors: ArgumentError for tokens that come twice, are too many or of another type, and for
            weights that do not fit.
        """
        if idf_weights is not None and not self.weighted:
            raise ArgumentError("set_vocabulary: idf_weights go with output_mode='tf_idf' only")
        given = self._tokens(vocabulary)
        weights = None if idf_weights is None else np.asarray(idf_weights, np.float64)
        before = None
        count = len(self.special)
        if given[:count] == self.special:
            given = given[count:]
            if weights is not None and len(weights) > len(given):
                before, weights = np.split(weights, [len(weights) - len(given)])
        again = [token for token, times in Counter(given).items() if times > 1]
        again += [token for token in given if token in self.barred]
        if again:
            raise ArgumentError(f"set_vocabulary: {again[0]!r} is there twice or out of place; "
                                f"need each of the {self.plural} once")  # fmt: skip
        if self.max_tokens is not None and len(given) + count > self.max_tokens:
            raise ArgumentError(f"set_vocabulary: {len(given) + count} {self.plural}, the special "
                                f"ones counted; max_tokens is {self.max_tokens}")  # fmt: skip
        if self.weighted:
            if weights is None or len(weights) != len(given):
                raise ArgumentError("set_vocabulary: output_mode is 'tf_idf'; need idf_weights, "
                                    f"one for each of the {self.plural}")  # fmt: skip
            if before is None:
                before = np.full(count, weights.mean() if len(weights) else 0.0)
            self.weights = np.concatenate([before, weights]).astype(np.float32)
        self.tokens = given
        self.number = {token: place for place, token in enumerate(given, count)}

    def entries(self, include_special: bool = True) -> list[Token]:
        """The tokens in order."""
        return (self.special if include_special else []) + self.known()

    def known(self) -> list[Token]:
        """The tokens that are not special.

        Errors: ArgumentError before `learn` and `set`.
        """
        if self.tokens is None:
            raise ArgumentError(f"{self.owner}: has no vocabulary yet; need adapt(data) first, or "
                                "set_vocabulary")  # fmt: skip
        return self.tokens

    def settings(self) -> dict[str, Any]:
        """What a layer is told to have this vocabulary."""
        if self.tokens is None:
            return {"vocabulary": None, "idf_weights": None}
        weights = None if self.weights is None else self.weights.tolist()
        return {"vocabulary": self.entries(), "idf_weights": weights}

    def encoded(self, numbers: Any, mode: str, pad: bool = False) -> Any:
        """Numbers of tokens in a mode of `encode`, or "tf_idf", counts times weights; with `pad`
        there are places for `max_tokens`."""
        depth = self.max_tokens if pad and self.max_tokens else len(self)
        found = encode(numbers, "count" if mode == "tf_idf" else mode, depth)
        if self.weights is None:
            return found
        return found * np.pad(self.weights, (0, depth - len(self)))

    def __len__(self) -> int:
        return len(self.special) + len(self.known())

    def __str__(self) -> str:
        return "not adapted" if self.tokens is None else f"{len(self)} {self.plural}"

    @property
    def plural(self) -> str:
        """What an error calls the tokens."""
        return "words" if self.kind is str else "integers"

    def _tokens(self, vocabulary: Any) -> list[Token]:
        """The tokens of a list or array, or of the lines of a file."""
        if isinstance(vocabulary, (str, PathLike)):
            given: list[Any] = _lines(vocabulary, self.plural)
            if self.kind is int:
                given = [int(line) if _is_integer(line) else line for line in given]
        else:
            given = vocabulary.tolist() if hasattr(vocabulary, "tolist") else list(vocabulary)
        for token in given:
            if not isinstance(token, self.kind) or isinstance(token, bool):
                need = "strings" if self.kind is str else "integers"
                raise ArgumentError(
                    f"set_vocabulary: got {token!r:.80} among the {self.plural}; need {need}"
                )
        return given


def _lines(path: str | PathLike[str], plural: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ArgumentError(
            f"set_vocabulary: {str(path)!r} cannot be read ({error}); need {plural} in a list, or "
            "the name of a UTF-8 file with one on each line"
        ) from error
    return text.removesuffix("\n").split("\n")


def _is_integer(line: str) -> bool:
    return line.strip().removeprefix("-").isdecimal()


def encode(numbers: Any, mode: str, depth: int, weights: Any = None) -> Any:
    """Numbers as they are ("int"), or as places of rows: "one_hot" has a row for each number,
    "multi_hot" and "count" one for all numbers along the last axis. Below 0 is nowhere.

    Shapes: (..., L) to (..., depth), of "one_hot" (..., L, depth); (..., 1) to (..., depth).
    Dtypes: int64 for "int", otherwise float32; arrays to arrays, tensors to tensors.

    Example:
        >>> encode(np.array([[1, 1], [0, 2]]), "count", 3).tolist()
        [[0.0, 2.0, 0.0], [1.0, 0.0, 1.0]]
    """
    if mode == "int":
        return numbers[()]  # a single one is no array
    if not numbers.ndim or (mode == "one_hot" and (numbers.ndim == 1 or numbers.shape[-1] != 1)):
        numbers = numbers[..., None]
    if isinstance(numbers, Tensor):
        return _encoded(numbers, mode, depth, weights)
    kept = numbers >= 0
    rows = np.arange(numbers[..., :1].size).reshape(*numbers.shape[:-1], 1)
    places = (rows * depth + numbers)[kept]
    found = np.zeros(rows.size * depth, np.float32)
    if mode == "count":
        np.add.at(found, places, 1 if weights is None else np.asarray(weights, np.float32)[kept])
    else:
        found[places] = 1
    return found.reshape(*numbers.shape[:-1], depth)


def _encoded(numbers: Tensor, mode: str, depth: int, weights: Any) -> Tensor:
    """The same as operations of a graph."""
    are_here = numbers[..., None] == Tensor(np.arange(depth))
    if mode != "count":
        return are_here.any(-2).to(float32)
    counts = are_here.to(float32)
    return (counts if weights is None else counts * weights[..., None]).sum(-2)
