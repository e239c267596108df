"""A file of events that grows record by record and stays readable whatever happens."""

from __future__ import annotations

import itertools
import os
import re
import socket
import time
import weakref
from pathlib import Path

from ambos.core.errors import ArgumentError
from ambos.data.tfrecord import frame
from ambos.viz.messages import START, event

VERSION = "brain.Event:2"
_NAME = re.compile(r"events\.out\.tfevents\.(\d+)\.")
_numbers = itertools.count()


class EventFile:
    """`write(event)` hands a record to the operating system at once: what is written survives the
    process. A record that does not fit on the disk is taken back whole, and the error raised.

    Every EventFile is a new file. TensorBoard reads those of a folder by name, so it begins with
    the time, later than that of any file before it. What comes after `purge_step` in those is
    not shown any more.
    """

    def __init__(self, folder: Path, suffix: str = "", purge_step: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        known = [int(found[1]) for name in os.listdir(folder) if (found := _NAME.match(name))]
        begun = max(int(time.time()), *(number + 1 for number in known), 0)
        host = re.sub(r"[^\w.-]", "_", socket.gethostname()) or "localhost"
        name = f"events.out.tfevents.{begun:010d}.{host}.{os.getpid()}.{next(_numbers)}{suffix}"
        self.path = folder / name
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._file: int | None = os.open(self.path, flags, 0o666)
        self._end = weakref.finalize(self, os.close, self._file)  # or nobody might
        self._size = 0
        self.write(event(time.time(), purge_step, file_version=VERSION))
        if purge_step is not None:
            self.write(event(time.time(), purge_step, session=START))

    def write(self, data: bytes) -> None:
        """Append one event.

        Errors: OSError where the disk is full; ArgumentError after `close`.
        """
        file, record = self.require_open(), memoryview(frame(data))
        done = 0
        try:
            while done < len(record):
                done += os.write(file, record[done:])
        except BaseException:
            os.ftruncate(file, self._size)
            os.lseek(file, self._size, os.SEEK_SET)
            raise
        self._size += done

    def flush(self) -> None:
        """Have the disk itself hold all that was written."""
        os.fsync(self.require_open())

    def close(self) -> None:
        """No more will come; twice is once."""
        self._file = None
        self._end()

    @property
    def is_closed(self) -> bool:
        """Was it closed?"""
        return self._file is None

    def require_open(self) -> int:
        """The file's number, while there is one."""
        if self._file is None:
            raise ArgumentError(f"SummaryWriter: {self.path.name} is closed; need a new "
                                "SummaryWriter of the same folder to go on")  # fmt: skip
        return self._file
