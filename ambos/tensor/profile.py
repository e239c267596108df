"""`am.profile()`: which kernels a region ran, how near each came to what the machine can do."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from ambos.core.config import config
from ambos.core.errors import ArgumentError
from ambos.runtime.roofline import roofline
from ambos.tensor import live
from ambos.tensor.names import public
from ambos.tensor.profile_text import table
from ambos.tensor.profile_trace import write_trace
from ambos.tensor.timing import Timing
from ambos.tensor.watch import watching


class Profile(Timing):
    """What `am.profile` found: `print` it, `save` it, or look at `rows`."""

    def __init__(self, measure: bool = False) -> None:
        super().__init__()
        self._measure = measure
        self._open = ExitStack()

    def __enter__(self) -> Profile:
        if self.start:
            raise ArgumentError("profile: this one was used before; need a new one: "
                                "`with am.profile() as p:`")  # fmt: skip
        live.flush()  # what was recorded before does not count
        for threads in {1, config.threads}:
            roofline(threads, self._measure)  # not inside the region, should it be measured now
        self._open.enter_context(watching(self))
        self.start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        try:
            if kind is None:
                live.flush()  # what was recorded here counts
        finally:
            self.end = time.perf_counter()
            self._open.close()

    def table(self, rows: int | None = 30) -> str:
        """The text that `print` shows, with at most so many kernels (None: all)."""
        return table(self, rows)

    def __repr__(self) -> str:
        return self.table()

    def save(self, path: str | Path) -> None:
        """Write a trace that https://ui.perfetto.dev and chrome://tracing open.

        Every launch is a slice with its rates, its share of the limit and the user's lines.
        """
        write_trace(self, Path(path))


@public
def profile(measure: bool = False) -> Profile:
    """A context that times every kernel of a region, in all threads of this process.

    Launches run one by one with a clock around each, so a region takes a little longer than
    without. Leaving it computes what is still pending. The machine's limits (peak arithmetic,
    bandwidth) are measured once, in half a second, and kept with the kernel cache; `measure=True`
    measures them again, should the machine have been busy then.

    Example:
        >>> import ambos as am
        >>> x = am.ones(64, 64)
        >>> with am.profile() as p:
        ...     y = x @ x
        >>> [row.flops for row in p.rows if "contract" in row.kernel]
        [524288]
    """
    return Profile(measure)


__all__ = ["Profile", "profile"]
