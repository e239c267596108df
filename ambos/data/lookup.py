"""Categories as numbers by a vocabulary, and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import numpy as np

from ambos.core.arguments import flag, positive
from ambos.core.errors import ArgumentError, suggest
from ambos.data import decimals
from ambos.data.column import Column, batches_of
from ambos.data.hashing import buckets
from ambos.data.values import integer_tensor, integers, place_of, salted, strings
from ambos.data.vocabulary import Numbers, Token, Vocabulary
from ambos.tensor.gather import take
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where
from ambos.tensor.searching import searchsorted

MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")
OOV_METHODS = ("floormod", "farmhash")
MASKED, UNKNOWN = -1, -2  # numbers of tokens that have none


class Lookup(Column):
    """Base of lookups; `kind` is the type of their tokens."""

    kind: type = str

    def __init__(
        self, max_tokens: int | None, num_oov_indices: int, mask_token: Token, oov_token: Token,
        vocabulary: Any, idf_weights: Any, invert: bool, output_mode: str,
        pad_to_max_tokens: bool, oov_method: str, salt: int | Sequence[int] | None,
    ) -> None:  # fmt: skip
        owner = type(self).__name__
        for name, value, known in (
            ("output_mode", output_mode, MODES), ("oov_method", oov_method, OOV_METHODS)
        ):  # fmt: skip
            if value not in known:
                raise ArgumentError(f"{owner}: {name} is {value!r}; need one of "
                                    f"{', '.join(known)}{suggest(str(value), known)}")  # fmt: skip
        for name, token in (("mask_token", mask_token), ("oov_token", oov_token)):
            if token is not None and (not isinstance(token, self.kind) or isinstance(token, bool)):
                raise ArgumentError(f"{owner}: {name} is {token!r}; need {self.kind.__name__}")
        if flag(f"{owner}: invert", invert) and output_mode != "int":
            raise ArgumentError(f"{owner}: invert goes with output_mode='int' only")
        if invert and oov_token is None:
            raise ArgumentError(f"{owner}: invert needs oov_token, for numbers without a token")
        if flag(f"{owner}: pad_to_max_tokens", pad_to_max_tokens) and max_tokens is None:
            raise ArgumentError(f"{owner}: pad_to_max_tokens needs max_tokens")
        self.num_oov_indices = positive(f"{owner}: num_oov_indices", num_oov_indices, least=0)
        self.salt = salted(owner, salt)
        if self.salt and self.kind is int and oov_method != "farmhash":
            raise ArgumentError(f"{owner}: salt goes with oov_method='farmhash' only")
        self.mask_token, self.oov_token, self.oov_method = mask_token, oov_token, oov_method
        self.invert, self.output_mode, self.max_tokens = invert, output_mode, max_tokens
        self.pad_to_max_tokens = pad_to_max_tokens
        masks = [] if mask_token is None or output_mode != "int" else [mask_token]
        self.vocabulary = Vocabulary(
            owner, masks + [oov_token] * num_oov_indices, max_tokens, output_mode == "tf_idf",
            self.kind, () if mask_token is None else (mask_token,),
        )  # fmt: skip
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    def _tokens(self, op: str, values: Any) -> tuple[list[Token], tuple[int, ...]]:
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        return super().settings() | self.vocabulary.settings()

    # Learning

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learn the vocabulary of an array, a list or a column, or of an iterable of batches, of
        which `steps` are read; each row is a document for "tf_idf". What was known is forgotten.

        Errors: ArgumentError for no data, and for what is no token, with its row.
        """
        counts: Counter[Token] = Counter()
        documents: Counter[Token] = Counter()
        total = 0
        for batch in batches_of("adapt", data, steps):
            tokens, shape = self._tokens("adapt", batch)
            counts.update(tokens)
            rows = shape[0] if shape else 1
            width = len(tokens) // max(1, rows)
            for start in range(0, rows * width, max(1, width)) if self.vocabulary.weighted else ():
                documents.update(set(tokens[start : start + width]))
            total += rows
        if not total:
            raise ArgumentError("adapt: got no data; need at least one row")
        self.vocabulary.learn(counts, documents, total)

    def set_vocabulary(
        self, vocabulary: Iterable[Token] | str | PathLike[str], idf_weights: Any = None
    ) -> None:
        """Take these tokens, with or without the special ones at their head; `idf_weights` has the
        weight of each for "tf_idf". A file has a token on each line.

        Errors: ArgumentError for tokens that come twice, are too many or of another type.
        """
        self.vocabulary.set(vocabulary, idf_weights)

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Token]:
        """The tokens, each at the place that is its number."""
        return self.vocabulary.entries(include_special_tokens)

    def vocabulary_size(self) -> int:
        """How many numbers there are, those for masked and unknown tokens counted."""
        return len(self.vocabulary)

    # Using it

    def __call__(self, inputs: Any) -> Any:
        """The numbers of tokens, or with `invert` the tokens of numbers."""
        self.vocabulary.known()
        if self.invert:
            return self._inverted(inputs)
        tokens, shape = self._tokens(type(self).__name__, inputs)
        get = self.vocabulary.number.get
        numbers = np.fromiter((get(token, UNKNOWN) for token in tokens), np.int64, len(tokens))
        first = 0
        if self.mask_token is not None:
            first = 1 if self.output_mode == "int" else 0
            masked = [place for place, token in enumerate(tokens) if token == self.mask_token]
            numbers[masked] = 0 if first else MASKED
        unknown = np.flatnonzero(numbers == UNKNOWN)
        if len(unknown):
            if not self.num_oov_indices:
                raise ArgumentError(
                    f"{type(self).__name__}: {tokens[unknown[0]]!r:.80} in "
                    f"{place_of(int(unknown[0]), shape)} is not in the vocabulary; need "
                    "num_oov_indices=1, a number for unknown ones, or adapt on data that have it"
                )
            numbers[unknown] = first + self._oov([tokens[place] for place in unknown])
        numbers = numbers.reshape(shape)
        return self.vocabulary.encoded(numbers, self.output_mode, self.pad_to_max_tokens)

    def _oov(self, tokens: list[Token]) -> Numbers:
        """Which of the numbers for unknown tokens each of these has."""
        if self.num_oov_indices == 1:
            return np.zeros(len(tokens), np.int64)
        if self.kind is int and self.oov_method == "floormod":
            return np.array(tokens, np.int64) % self.num_oov_indices
        return buckets(map(str, tokens), self.num_oov_indices, self.salt)

    def _inverted(self, inputs: Any) -> Any:
        numbers, known = integers(type(self).__name__, inputs), self.vocabulary.entries()
        found = np.full(numbers.shape, self.oov_token, np.int64 if self.kind is int else object)
        there = (numbers >= 0) & (numbers < len(known))
        found[there] = np.array(known, found.dtype)[numbers[there]]
        return found[()]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vocabulary}, output_mode={self.output_mode!r})"


class StringLookup(Lookup):
    """Strings as numbers of a vocabulary, which `adapt` learns, or which is given.

    The most frequent tokens come first, after `mask_token` (number 0, of "int" only; in other modes
    it counts nowhere) and `num_oov_indices` numbers for unknown tokens: if several, a hash of the
    token decides (with `salt` another one); if none, an unknown token is an error. `output_mode`
    "int" gives numbers, "one_hot" a row for each, "multi_hot", "count" and "tf_idf" one row for all
    along the last axis (`pad_to_max_tokens` adds places). `invert` is the way back.

    Shapes: any to the same for "int"; (..., L) to (..., places), of "one_hot" (..., L, places);
        (..., 1) to (..., places).
    Dtypes: strings, in lists, arrays or columns of pandas, to int64 for "int", otherwise float32.
    Errors: ArgumentError before `adapt`, and for what is no string, with its row.
    Source: Keras's layer of this name; unknown tokens fall into the same of several numbers.

    Example:
        >>> lookup = StringLookup()
        >>> lookup.adapt(["red", "blue", "red"])
        >>> lookup.get_vocabulary(), lookup(["blue", "green"]).tolist()
        (['[UNK]', 'red', 'blue'], [2, 0])
        >>> StringLookup(vocabulary=lookup.get_vocabulary(), invert=True)([2, 0]).tolist()
        ['blue', '[UNK]']
    """

    def __init__(
        self, max_tokens: int | None = None, num_oov_indices: int = 1,
        mask_token: str | None = None, oov_token: str | None = "[UNK]",
        vocabulary: Iterable[str] | str | PathLike[str] | None = None, idf_weights: Any = None,
        invert: bool = False, output_mode: str = "int", pad_to_max_tokens: bool = False,
        salt: int | Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert,
            output_mode, pad_to_max_tokens, "farmhash", salt,
        )  # fmt: skip

    def _tokens(self, op: str, values: Any) -> tuple[list[Token], tuple[int, ...]]:
        return strings(op, values)


class IntegerLookup(Lookup):
    """Integers as numbers of a vocabulary: `StringLookup` for categories that are integers.

    Of several numbers for unknown ones `oov_method` "floormod" takes the remainder, "farmhash" a
    hash (with `salt` another one).

    Shapes: as `StringLookup`.
    Dtypes: integers, or floats that are whole, to int64 for "int", otherwise float32; tensors of
        integers give tensors, all else arrays.
    Errors: ArgumentError before `adapt`, and for what is no integer, with its row; for tensors if
        unknown integers have no number. DTypeError for tensors of other dtypes.
    Source: Keras's layer of this name.

    Example:
        >>> lookup = IntegerLookup(vocabulary=[10, 20], output_mode="one_hot")
        >>> lookup([20, 5]).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    kind = int

    def __init__(
        self, max_tokens: int | None = None, num_oov_indices: int = 1,
        mask_token: int | None = None, oov_token: int | None = -1,
        vocabulary: Iterable[int] | str | PathLike[str] | None = None, idf_weights: Any = None,
        invert: bool = False, output_mode: str = "int", pad_to_max_tokens: bool = False,
        oov_method: str = "floormod", salt: int | Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert,
            output_mode, pad_to_max_tokens, oov_method, salt,
        )  # fmt: skip

    def _tokens(self, op: str, values: Any) -> tuple[list[Token], tuple[int, ...]]:
        found = integers(op, values)
        return found.reshape(-1).tolist(), found.shape

    def __call__(self, inputs: Any) -> Any:
        """The numbers of integers, or with `invert` the integers of numbers."""
        if not isinstance(inputs, Tensor):
            return super().__call__(inputs)
        self.vocabulary.known()
        found = integer_tensor("IntegerLookup", inputs)
        if self.invert:
            return self._inverted_tensor(found)
        numbers = self._numbers(found)
        return self.vocabulary.encoded(numbers, self.output_mode, self.pad_to_max_tokens)

    def _numbers(self, found: Tensor) -> Tensor:
        """As operations of a graph."""
        if not self.num_oov_indices:
            raise ArgumentError("IntegerLookup: num_oov_indices is 0, so an integer that is not in "
                                "the vocabulary has no number, and a tensor is not looked at; need "
                                "num_oov_indices=1")  # fmt: skip
        masks = self.mask_token is not None and self.output_mode == "int"
        oov: Any = 0
        if self.num_oov_indices > 1 and self.oov_method == "floormod":
            oov = found % self.num_oov_indices
        elif self.num_oov_indices > 1:
            oov = decimals.buckets(found, self.num_oov_indices, self.salt)
        known = sorted(self.vocabulary.number.items())
        table = Tensor(np.array([*known, (0, 0)], np.int64))
        at = searchsorted(table[:-1, 0], found)
        is_known = (at < len(known)) & (take(table[:, 0], at) == found)
        numbers = where(is_known, take(table[:, 1], at), oov + int(masks))
        if self.mask_token is None:
            return numbers
        return where(found == self.mask_token, 0 if masks else MASKED, numbers)

    def _inverted_tensor(self, numbers: Tensor) -> Tensor:
        known = self.vocabulary.entries()
        table = Tensor(np.array([*known, self.oov_token], np.int64))
        are_there = (numbers >= 0) & (numbers < len(known))
        return take(table, where(are_there, numbers, len(known)))
