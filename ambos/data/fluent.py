"""The stages of a pipeline as methods of every dataset, in the words of tf.data.

The stages themselves are above this: they register here, so that a dataset knows them by name.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ambos.core.arguments import checked as checked_alone
from ambos.core.errors import ArgumentError

AUTOTUNE = -1  # for `map` as many threads as compute tensors, for `prefetch` 2 elements
IN_TENSORFLOW = {
    "buffer_size": ("buffer", "count"), "drop_remainder": ("drop_last",),
    "filename": ("path",), "map_func": ("function",), "num_parallel_calls": ("workers",),
    "padding_values": ("padding",), "reshuffle_each_iteration": ("reshuffle",),
}  # fmt: skip
STAGES: dict[str, Callable[..., Any]] = {}
Stage = TypeVar("Stage", bound=Callable[..., Any])


def stage(name: str) -> Callable[[Stage], Stage]:
    """Decorate what makes the stage that a method of this name asks for."""

    def note(make: Stage) -> Stage:
        STAGES[name] = make
        if isinstance(make, type):
            make.operation = name  # type: ignore[attr-defined]  # a class has attributes
        return make

    return note


def checked(method: Stage) -> Stage:
    """Decorate a method so that tf.data's names of arguments are taken for ours, and misspelt ones
    are answered with the right one."""
    own = inspect.signature(method).parameters
    ours = {theirs: name for theirs, many in IN_TENSORFLOW.items() for name in many if name in own}
    plain = checked_alone(method)

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not kwargs.keys().isdisjoint(ours):
            for theirs in kwargs.keys() & ours.keys():
                if ours[theirs] in kwargs:
                    raise ArgumentError(f"{method.__name__}: got {theirs} and {ours[theirs]}, "
                                        "which are one; need one of them")  # fmt: skip
                kwargs[ours[theirs]] = kwargs.pop(theirs)
        return plain(*args, **kwargs)

    return call  # type: ignore[return-value]


class Fluent:
    """Methods that return another dataset. Where the source can be read by index the result can
    too, unless its elements depend on each other (filter, unbatch, shuffle(buffer), interleave).
    """

    if TYPE_CHECKING:  # what every dataset has: it is defined above this
        operation: str

        def __len__(self) -> int: ...
        def cardinality(self) -> int: ...
        def __getitem__(self, index: int) -> Any: ...
        def __iter__(self) -> Iterator[Any]: ...
        def set_epoch(self, epoch: int) -> None: ...
        def state_dict(self) -> dict[str, Any]: ...
        def load_state_dict(self, state: Mapping[str, Any]) -> None: ...

    @checked
    def map(self, function: Callable[..., Any], workers: int = 0) -> Fluent:
        """`function` of each element; tuples become arguments if it takes several.

        With `workers` as many threads are at it (`am.data.AUTOTUNE`: as many as compute tensors),
        order kept: for functions that let go of Python's lock, as NumPy, Pillow and readers of
        files do. Processes: a DataLoader with num_workers.

        Example:
            >>> import ambos as am
            >>> [int(x) for x in am.data.Dataset.range(3).map(lambda x: 2 * x)]
            [0, 2, 4]
        """
        return STAGES["map"](self, function, workers)

    @checked
    def filter(self, predicate: Callable[..., Any]) -> Fluent:
        """The elements for which `predicate` is true."""
        return STAGES["filter"](self, predicate)

    @checked
    def batch(self, batch_size: int, drop_last: bool = False) -> Fluent:
        """Elements stacked into batches of NumPy arrays.

        Errors: ShapeError where elements differ in shape.

        Example:
            >>> import ambos as am
            >>> [b.tolist() for b in am.data.Dataset.range(5).batch(2)]
            [[0, 1], [2, 3], [4]]
        """
        return STAGES["batch"](self, batch_size, drop_last)

    @checked
    def padded_batch(self, batch_size: int, padding: float = 0, drop_last: bool = False) -> Fluent:
        """Batches of arrays of several sizes, each padded at its ends to the batch's largest; lists
        of numbers are arrays here, tuples keep their structure.

        Errors: ShapeError where elements differ in structure.
        """
        return STAGES["padded_batch"](self, batch_size, padding, drop_last)

    @checked
    def unbatch(self) -> Fluent:
        """The rows of each element, one after the other."""
        return STAGES["unbatch"](self)

    @checked
    def shuffle(
        self, buffer: int | None = None, seed: int | None = None, reshuffle: bool = True
    ) -> Fluent:
        """Another order in each epoch (the same in each, without `reshuffle`).

        Without `buffer` all examples are permuted, which needs them by index; with it each element
        is drawn from the next `buffer` ones. Without `seed` one is drawn from `am.manual_seed`.

        Example:
            >>> import ambos as am
            >>> numbers = am.data.Dataset.range(4).shuffle(seed=0)
            >>> sorted(int(x) for x in numbers), numbers[0] in (0, 1, 2, 3)
            ([0, 1, 2, 3], True)
        """
        return STAGES["shuffle"](self, buffer, seed, reshuffle)

    @checked
    def cache(self, path: Any = None) -> Fluent:
        """Elements are kept after they are made first: in memory, or in a file at `path`, if the
        disk has room for it."""
        return STAGES["cache"](self, path)

    @checked
    def prefetch(self, count: int = 2) -> Fluent:
        """A thread makes up to `count` elements ahead."""
        return STAGES["prefetch"](self, count)

    @checked
    def repeat(self, count: int | None = None) -> Fluent:
        """`count` epochs one after the other, or without end (None, or tf.data's -1)."""
        return STAGES["repeat"](self, count)

    @checked
    def take(self, count: int) -> Fluent:
        """The first `count` elements."""
        return STAGES["take"](self, count)

    @checked
    def skip(self, count: int) -> Fluent:
        """All but the first `count` elements."""
        return STAGES["skip"](self, count)

    @checked
    def shard(self, num_shards: int, index: int) -> Fluent:
        """Every `num_shards`-th element, from number `index` on."""
        return STAGES["shard"](self, num_shards, index)

    @checked
    def enumerate(self, start: int = 0) -> Fluent:
        """Pairs of number and element."""
        return STAGES["enumerate"](self, start)

    @checked
    def window(
        self, size: int, shift: int | None = None, stride: int = 1, drop_last: bool = False
    ) -> Fluent:
        """`size` elements `stride` apart, stacked; the next window begins `shift` further on (as
        many as `size` unless given). Windows that the end cuts short are dropped on request.

        Example:
            >>> import ambos as am
            >>> [w.tolist() for w in am.data.Dataset.range(5).window(3, shift=1, drop_last=True)]
            [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
        """
        return STAGES["window"](self, size, shift, stride, drop_last)

    @checked
    def zip(self, *others: Any) -> Fluent:
        """Tuples with an element of each, as long as all have one."""
        return STAGES["zip"](self, *others)

    @checked
    def concatenate(self, *others: Any) -> Fluent:
        """These elements, then those of the others (`+` does the same)."""
        return STAGES["concatenate"](self, *others)

    __add__ = concatenate

    @checked
    def interleave(
        self, function: Callable[..., Any], cycle_length: int = 2, block_length: int = 1
    ) -> Fluent:
        """`function` makes a dataset of each element; `cycle_length` of these are read in turn,
        `block_length` elements at a time."""
        return STAGES["interleave"](self, function, cycle_length, block_length)

    @checked
    def flat_map(self, function: Callable[..., Any]) -> Fluent:
        """`function` makes a dataset of each element; these come one after the other."""
        made: Fluent = STAGES["interleave"](self, function, 1, 1)
        made.operation = "flat_map"
        return made

    # Beginnings

    @staticmethod
    @checked
    def range(*bounds: int) -> Fluent:
        """The numbers of Python's `range`."""
        return STAGES["range"](*bounds)

    @staticmethod
    @checked
    def from_tensor_slices(arrays: Any) -> Fluent:
        """The rows of an array, or of a tuple or dict of arrays.

        Example:
            >>> import ambos as am
            >>> am.data.Dataset.from_tensor_slices({"x": [[1, 2], [3, 4]], "y": [0, 1]})[1]
            {'x': array([3, 4]), 'y': np.int64(1)}
        """
        return STAGES["from_tensor_slices"](arrays)

    @staticmethod
    @checked
    def from_generator(
        function: Callable[..., Iterable[Any]],
        args: tuple[Any, ...] = (),
        length: int | None = None,
    ) -> Fluent:
        """What a generator function yields, called again for each epoch."""
        return STAGES["from_generator"](function, args, length)
