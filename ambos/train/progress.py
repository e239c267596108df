"""How far training is: a live bar for people, one line an epoch for files and pipes."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from ambos.core.errors import ArgumentError
from ambos.train.logs import shown

INTERVAL = 0.1  # seconds between two updates of a live bar
FULL, EMPTY = "━", "─"
ERASE = "\r\x1b[K"  # back to the start of an empty line


class Progress:
    """One line after each epoch: what a pipe or a log file wants."""

    live = False

    def __init__(self, epochs: int, stream: TextIO | None = None) -> None:
        self.epochs, self.stream = epochs, stream
        self.started = 0.0

    def begin(self, epoch: int, batches: int | None) -> None:
        """An epoch starts; `batches` is None where nobody knows."""
        self.epoch, self.batches, self.started = epoch, batches, time.monotonic()

    def due(self) -> bool:
        """Is it time to show numbers within an epoch?"""
        return False

    def update(self, batch: int, logs: Mapping[str, float]) -> None:
        """So many batches are done."""

    def end(self, logs: Mapping[str, float]) -> None:
        """The epoch is over."""
        self._write(f"{self._head()}  {self._seconds()}  {numbers(logs)}\n")

    def close(self) -> None:
        """Leave the terminal in order, also after an error."""

    def _head(self) -> str:
        width = len(str(self.epochs))
        return f"epoch {self.epoch + 1:>{width}}/{self.epochs}"

    def _seconds(self) -> str:
        return f"{duration(time.monotonic() - self.started):>7}"

    def _write(self, text: str) -> None:
        stream = self.stream or sys.stdout
        stream.write(text)
        stream.flush()


class Silent(Progress):
    """Nothing at all."""

    def end(self, logs: Mapping[str, float]) -> None:
        pass


class Bar(Progress):
    """A live bar in a terminal, drawn with a carriage return."""

    live = True

    def begin(self, epoch: int, batches: int | None) -> None:
        super().begin(epoch, batches)
        self.shown, self.drawn = 0.0, False

    def due(self) -> bool:
        return time.monotonic() - self.shown >= INTERVAL

    def update(self, batch: int, logs: Mapping[str, float]) -> None:
        self.shown, self.drawn = time.monotonic(), True
        self._write(f"{ERASE}{self._line(batch, logs)}")

    def end(self, logs: Mapping[str, float]) -> None:
        self.drawn = False
        self._write(f"{ERASE}{self._summary(logs)}\n")

    def close(self) -> None:
        if getattr(self, "drawn", False):
            self._write("\n")
            self.drawn = False

    def _summary(self, logs: Mapping[str, float]) -> str:
        """An epoch's numbers, all of them: without the bar, on more lines where one is short."""
        lead = f"{self._head()}  {self._seconds()}"
        lines, room = [lead], shutil.get_terminal_size((80, 24)).columns - 1
        for part in (numbers({name: value}) for name, value in logs.items()):
            if len(lines[-1]) + 2 + len(part) > room and lines[-1].strip():
                lines.append(" " * min(len(lead), max(0, room - 2 - len(part))))
            lines[-1] += f"  {part}"
        return "\n".join(lines)

    def _line(self, batch: int, logs: Mapping[str, float]) -> str:
        share = min(1.0, batch / self.batches) if self.batches else 0.0
        count = f"{batch}/{self.batches}" if self.batches else f"{batch} batches"
        tail = f"  {count}  {self._seconds()}  {numbers(logs)}"
        columns = shutil.get_terminal_size((80, 24)).columns
        room = columns - len(self._head()) - len(tail) - 3
        width = max(0, min(30, room))
        full = round(width * share)
        return f"{self._head()}  {FULL * full}{EMPTY * (width - full)}{tail}"[: columns - 1]


class RichBar(Bar):
    """The live bar in colour, where rich is installed: the terminal's capabilities are its job."""

    def __init__(self, epochs: int, console: Any) -> None:
        super().__init__(epochs)
        self.console = console

    def _write(self, text: str) -> None:
        from rich.text import Text

        line = text.removeprefix(ERASE).rstrip("\n")
        styled = Text(line)
        styled.highlight_regex(rf"{FULL}+", "green")
        styled.highlight_regex(rf"{EMPTY}+", "bright_black")
        styled.highlight_regex(r"epoch +\d+/\d+", "bold")
        if text.startswith(ERASE):
            self.stream_file().write(ERASE)
        self.console.print(styled, end="\n" if text.endswith("\n") else "", soft_wrap=True)

    def stream_file(self) -> TextIO:
        """Where the console writes."""
        file: TextIO = self.console.file
        return file


class NotebookBar(Bar):
    """A live bar in a notebook cell: an HTML progress element that is updated in place."""

    def begin(self, epoch: int, batches: int | None) -> None:
        super().begin(epoch, batches)
        self.handle: Any = None

    def _write(self, text: str) -> None:
        from IPython.display import HTML, display

        line = text.removeprefix(ERASE).rstrip("\n")
        shown = HTML(f"<pre style='margin:0'>{line}</pre>")
        if self.handle is None:
            self.handle = display(shown, display_id=True)
        else:
            self.handle.update(shown)


def duration(seconds: float) -> str:
    """A time as people read it.

    Example:
        >>> [duration(seconds) for seconds in (0.0423, 7.25, 83.4, 5025)]
        ['42 ms', '7.2 s', '1:23 min', '1:24 h']
    """
    if seconds < 0.9995:
        return f"{1e3 * seconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole, unit = (seconds, "min") if seconds < 3599.5 else (seconds / 60, "h")
    return f"{round(whole) // 60}:{round(whole) % 60:02} {unit}"


def numbers(logs: Mapping[str, float]) -> str:
    """`loss 0.1234  accuracy 0.9876`."""
    return "  ".join(f"{name} {shown(value)}" for name, value in logs.items())


def choose(verbose: str | int | bool, epochs: int) -> Progress:
    """The display for `verbose`: "auto" looks at where the output goes; 0 is silent, 1 live and
    2 one line an epoch (Keras's numbers).

    Errors: ArgumentError for another `verbose`.
    """
    check_verbose("fit", verbose)
    if verbose in (0, False):
        return Silent(epochs)
    if verbose == 2 and verbose is not True:
        return Progress(epochs)
    if _in_notebook():
        return NotebookBar(epochs)
    if verbose == "auto" and not sys.stdout.isatty():
        return Progress(epochs)
    try:
        from rich.console import Console
    except ImportError:
        return Bar(epochs)
    return RichBar(epochs, Console(highlight=False))


def check_verbose(op: str, verbose: object) -> None:
    """An ArgumentError unless `verbose` is one of the values with a meaning."""
    if not isinstance(verbose, (str, int)) or verbose not in ("auto", 0, 1, 2):
        raise ArgumentError(
            f"{op}: verbose is {verbose!r}; need 'auto', 0 (silent), 1 (live) or 2 (a line an "
            "epoch)"
        )


def _in_notebook() -> bool:
    """Is this a Jupyter kernel? Asks only IPython that is loaded already."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
