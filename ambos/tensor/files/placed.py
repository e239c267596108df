"""A file that takes the place of another in one step, once it is whole and on the disk."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def placed(path: Path) -> Iterator[Path]:
    """Where to write what is then to be found at `path`: whoever reads sees the old file or the new
    one, and after an error the old one is still there.

    Errors: OSError where the place cannot be written.

    Example:
        >>> folder = tempfile.mkdtemp()
        >>> with placed(Path(folder, "a")) as new:
        ...     _ = new.write_text("text")
        >>> Path(folder, "a").read_text(), os.listdir(folder)
        ('text', ['a'])
    """
    if not path.parent.exists():
        message = "save: no such folder; need an existing one"
        raise FileNotFoundError(errno.ENOENT, message, str(path.parent))
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        new = Path(folder, path.name)
        new.touch()
        mode = new.stat().st_mode  # a usual one; os.umask would change it for all threads
        yield new
        with new.open("rb+") as file:
            os.fsync(file.fileno())
        new.chmod(mode)
        new.replace(path)
