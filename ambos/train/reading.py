"""How a printed loop gets to its batches: rows of arrays, or an iterable of the user's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ambos.train.alignment import Kind
from ambos.train.noted import Columns, Note

INDENT = "    "
PARTS = (
    "def parts():  # each epoch goes on where the last one stopped, to the end of a pass",
    INDENT + "while True:",
)
NAMES = {"x": "inputs", "y": "targets", "sample_weight": "weight"}  # of the parts of a batch


class Reading:
    """Batches whose parts are `columns`: those of training, or with the `suffix` "_val" those held
    out. `expression` gives them, in a pass that is an epoch, or of which an epoch has `steps`."""

    last = ""  # is this batch of training, `number`, the last one of an epoch?

    def __init__(self, columns: Columns, suffix: str, steps: int | None, expression: str) -> None:
        self.columns, self.suffix, self.steps = columns, suffix, steps
        self.expression = expression
        self.loader = f"loader{suffix}" if expression.startswith("DataLoader(") else expression

    def prepared(self, are_cut: bool) -> Iterator[str]:
        """What is done to arrays; `are_cut`: are labels made whole numbers?"""
        return iter(())

    def made(self) -> Iterator[str]:
        """What makes the loader, where there is none yet."""
        if self.loader != self.expression:
            yield f"{self.loader} = {self.expression}"

    def parted(self) -> Iterator[str]:
        """What makes epochs of `steps` batches."""
        return iter(())

    def begun(self) -> Iterator[str]:
        """What begins such an epoch."""
        return iter(())

    def told(self) -> Iterator[str]:
        """What tells which batch is the last one, where a number does not."""
        return iter(())

    def heading(self, has_number: bool, as_one: bool = False) -> str:
        """The loop over the batches of an epoch of training."""
        raise NotImplementedError

    def held_out(self, as_one: bool = False) -> str:
        """The loop over those held out."""
        steps = self.loader if self.steps is None else f"islice({self.loader}, {self.steps})"
        return f"for {self.names(as_one)} in {steps}:"

    def names(self, as_one: bool = False) -> str:
        """A batch, which is taken apart unless it is wanted `as_one`."""
        raise NotImplementedError

    def received(self, are_cut: bool, as_one: bool = False) -> Iterator[str]:
        """What is done to each batch."""
        return iter(())

    @property
    def handed(self) -> str:
        """What a step of the model's own gets of a `batch`."""
        is_alone = len(self.columns) == 1 and not isinstance(self.columns["x"], tuple)
        return "batch[0]" if is_alone else "tuple(batch)"


class Rows(Reading):
    """Rows of arrays `x`, `y` and `sample_weight`."""

    def __init__(
        self, columns: Columns, suffix: str, steps: int | None, batch_size: int, order: str = ""
    ) -> None:  # fmt: skip
        arrays = listed([name + suffix for name in columns])
        if any(map(is_tree, columns.values())):
            arrays = f"Dataset.from_tensor_slices({arrays})"
        loader = f"DataLoader({arrays}, batch_size={batch_size}{order})"
        super().__init__(columns, suffix, steps, loader)
        self.last = f"number == {'len(loader)' if steps is None else 'count'}"

    def prepared(self, are_cut: bool) -> Iterator[str]:
        for name, kinds in self.columns.items():
            yield f"{name}{self.suffix} = {ready(name + self.suffix, kinds)}"
        if are_cut:
            yield from whole_numbers(f"y{self.suffix}")

    def parted(self) -> Iterator[str]:
        yield from PARTS
        yield INDENT * 2 + "batches = iter(loader)"
        yield INDENT * 2 + f"for start in range(0, len(loader), {self.steps}):"
        count = f"min({self.steps}, len(loader) - start)"
        yield INDENT * 3 + f"yield islice(batches, {self.steps}), {count}"

    def begun(self) -> Iterator[str]:
        yield "batches, count = next(epochs)"

    def heading(self, has_number: bool, as_one: bool = False) -> str:
        batches, names = "loader" if self.steps is None else "batches", self.names(as_one)
        if not has_number:
            return f"for {names} in {batches}:"
        return f"for number, {names if as_one else f'({names})'} in enumerate({batches}, 1):"

    def names(self, as_one: bool = False) -> str:
        return "batch" if as_one else ", ".join(NAMES[name] for name in self.columns)


class Batches(Reading):
    """Batches of the user's own, of which `note` tells; parts that are not `present` were None, and
    none is where batches were x itself."""

    last = "is_last"

    def __init__(
        self, columns: Columns, suffix: str, steps: int | None, note: Note,
        present: tuple[bool, ...],
    ) -> None:  # fmt: skip
        super().__init__(columns, suffix, steps, note.source.format("x" + suffix))
        self.present, self.is_once = present, note.is_once

    def parted(self) -> Iterator[str]:
        if self.is_once:
            yield "def parts():  # each epoch goes on where the last one stopped"
            yield INDENT + f"for first in {self.loader}:"
        else:
            yield from PARTS
            yield INDENT * 2 + f"batches = iter({self.loader})"
            yield INDENT * 2 + "for first in batches:"
        batches, depth = ("x", 2) if self.is_once else ("batches", 3)
        yield INDENT * depth + f"yield chain([first], islice({batches}, {(self.steps or 1) - 1}))"

    def begun(self) -> Iterator[str]:
        yield "batches = next(epochs)"

    def told(self) -> Iterator[str]:
        yield from ("", "")
        yield "def told(batches):  # each batch, and whether it is the last one"
        yield INDENT + "batches = iter(batches)"
        yield INDENT + "batch = next(batches)"
        yield INDENT + "for following in batches:"
        yield INDENT * 2 + "yield batch, False"
        yield INDENT * 2 + "batch = following"
        yield INDENT + "yield batch, True"
        yield from ("", "")

    def heading(self, has_number: bool, as_one: bool = False) -> str:
        batches, names = self.loader if self.steps is None else "batches", self.names()
        if not has_number:
            return f"for {names} in {batches}:"
        return f"for number, (({names}), is_last) in enumerate(told({batches}), 1):"

    def names(self, as_one: bool = False) -> str:
        if not self.present:
            return NAMES["x"]
        parts = iter(self.columns)
        names = [NAMES[next(parts)] if is_there else "_" for is_there in self.present]
        return ", ".join(names) + "," * (len(names) == 1)

    def received(self, are_cut: bool, as_one: bool = False) -> Iterator[str]:
        names = [NAMES[name] for name in self.columns]
        made = [ready(NAMES[name], kinds) for name, kinds in self.columns.items()]
        yield f"{', '.join(names)} = {', '.join(made)}"
        if are_cut:
            yield from whole_numbers("targets")
        if as_one:
            yield f"batch = {listed(names)}"

    @property
    def handed(self) -> str:
        return "tuple(batch)" if self.present else super().handed


def listed(names: list[str]) -> str:
    """The expression for a tuple."""
    return f"({', '.join(names)}{',' * (len(names) == 1)})"


def whole_numbers(name: str) -> Iterator[str]:
    """A look at labels that come as floating numbers."""
    yield f"if ({name} % 1).any():"
    yield INDENT + (f'raise ValueError("{name}: a label is a fraction; need the number of a class, '
                    'a whole one")')  # fmt: skip


def is_tree(kinds: Any) -> bool:
    """Are these kinds of several arrays?"""
    return kinds is not None and not isinstance(kinds, Kind)


def ready(name: str, kinds: Any) -> str:
    """The expression that makes arrays ready for the model."""
    if isinstance(kinds, Mapping):
        parts = (f"{key!r}: {ready(f'{name}[{key!r}]', part)}" for key, part in kinds.items())
        return "{" + ", ".join(parts) + "}"
    if isinstance(kinds, (tuple, list)):
        return listed([ready(f"{name}[{place}]", part) for place, part in enumerate(kinds)])
    return f"ready({name})"


def length(name: str, kinds: Any) -> str:
    """The expression for the number of rows."""
    return f"len(am.tree.leaves({name})[0])" if is_tree(kinds) else f"len({name})"
