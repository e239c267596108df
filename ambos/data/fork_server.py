"""What the fork server imports before it forks workers; nobody else does.

It was started with Ctrl-C blocked (`crew.undisturbed`), and so are the processes that it forks.
Workers ignore Ctrl-C once they run. Those that others have it fork hear of it as soon as they are
processes of their own.
"""

from __future__ import annotations

import signal
from multiprocessing import current_process, util
from typing import Any

from ambos.data import crew


def listen(_: Any) -> None:
    """Let a process that is no worker of ours hear of Ctrl-C."""
    if not current_process().name.startswith(crew.WORKER):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


util.register_after_fork(listen, listen)
