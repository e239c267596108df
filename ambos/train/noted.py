"""Batches of an iterable, with a note of what they are: all that a printed loop has to know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ambos.core import tree
from ambos.data.loader import DataLoader
from ambos.train.alignment import Kind
from ambos.train.batches import PARTS, Batch, Stream
from ambos.train.examples import Counted

Columns = Mapping[str, Any]  # trees of Kinds
NARROW = ("bfloat16", "float16")


@dataclass
class Note:
    """How batches come from an iterable, and which ones came. It holds no data: the iterable may be
    a generator, and a model that has read one can be copied."""

    source: str  # the expression for what is read in an epoch; {0} is the name of the iterable
    is_once: bool  # can it be read in one pass only?
    seen: dict[tuple[Any, ...], None] = field(default_factory=dict)

    def add(self, given: Any, batch: Any) -> None:
        """A batch as it was `given`, and as the model gets it."""
        parts = given if isinstance(given, (tuple, list)) else ()
        present = tuple([part is not None for part in parts])
        leaves, structure = tree.flatten(tuple([part for part in batch if part is not None]))
        self.seen[present, structure, tuple(map(Kind.of, leaves))] = None

    def variants(self, model: Any) -> Iterator[tuple[tuple[bool, ...], Columns]]:
        """Each kind of batch that came: which of its parts were not None (none
        of x itself), and what they are in steps of `model`."""
        for present, structure, kinds in self.seen:
            columns = dict(zip(PARTS, structure.build(iter(kinds)), strict=False))
            yield present, kinds_in_steps(model, columns)


def kinds_in_steps(model: Any, columns: Columns) -> Columns:
    """These kinds after `prepared`: floating numbers in the model's dtype, but for numbers of
    classes, which a narrow one would round."""
    dtype = model.float_dtype.name

    def narrow(kind: Kind) -> Kind:
        return replace(kind, dtype=dtype) if "float" in kind.dtype else kind

    kept = ("y",) * (dtype in NARROW and model.plan.losses.takes_classes)
    return {n: kind if n in kept else tree.map(narrow, kind) for n, kind in columns.items()}


class NotedStream(Stream):
    """Batches of an iterable which notes what they are."""

    note: Note

    def one_pass(self, turn: int, start: int) -> Iterator[Batch]:
        if self._has_rows():  # rows of arrays: none of them has to be looked at
            self.note.add(self.source.dataset.arrays, self.source.dataset.arrays)
        return super().one_pass(turn, start)

    def _parts(self, batch: Any, number: int) -> Batch:
        found = super()._parts(batch, number)
        self.note.add(batch, found)
        return found


def note_of(given: Any, read: Any, shuffle: bool, seed: int | None) -> Note:
    """A note for an iterable that was `given`, and is `read` as this."""
    source = "{0}"
    if isinstance(read, Counted):
        source = "({0}[number] for number in range(len({0})))"
    elif isinstance(read, DataLoader) and read is not given:
        order = ", shuffle=True" * read.shuffle
        order += "" if seed is None or not shuffle else f", seed={seed}"
        source = f"DataLoader({{0}}, batch_size={read.batch_size}{order})"
    return Note(source, hasattr(read, "__next__"))
