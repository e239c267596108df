"""The worker processes of a loader, seen from the process that owns them.

How they are started. A plain `fork` of a process with threads copies locks that nobody will ever
open. So by default workers are forked from a *fork server*: a process without threads that has
imported this package and nothing else. That costs one import in the life of a program, and a few
milliseconds a worker from then on. The dataset is pickled into shared memory, once for all workers.
What cannot be pickled (lambdas, closures, classes of a notebook) is inherited through `fork`, if
this process has no threads but those of our own pool, which ends them before a fork; else it is an
error that says what to do.
"""

from __future__ import annotations

import errno
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import pickle
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ambos.core.errors import ArgumentError, WorkerError
from ambos.data.collate import native_empty
from ambos.data.fetch import Fetcher
from ambos.data.memory import Memory, Parcel, Slot
from ambos.data.worker import Assignment, Order, Reply, Trouble, work

GRACE = 2.0  # seconds in which a worker may end by itself
POOL = "ambos-"  # how the threads of our pool are called
WORKER = "ambos-worker-"  # and the processes here
SERVER = "ambos.data.fork_server"  # what the fork server imports
KILLED = {
    signal.SIGKILL: "which is what the system does where memory runs out: need smaller batches, "
    "fewer workers or a smaller prefetch_factor",
    signal.SIGSEGV: "a crash in native code that the dataset calls",
    signal.SIGBUS: "which is what the system does where shared memory runs out",
}
Content = tuple[Fetcher, Callable[[int], Any] | None]


class Crew:
    """Worker processes, their pipes and their slots of shared memory."""

    def __init__(
        self, content: Content, num_workers: int, num_slots: int, seed: int, context: Any = None
    ) -> None:
        self.num_slots = num_slots
        self.reader: object = None  # the pass that takes what arrives
        parcel, context = choose(content, context)
        self.orders: list[dict[int, Order]] = [{} for _ in range(num_workers)]  # by slot
        self.slots: list[list[Slot]] = []
        self.channels: list[Any] = []
        self.processes: list[Any] = []
        self._selector = selectors.DefaultSelector()
        forks = context.get_start_method() == "fork"
        try:
            for number in range(num_workers):
                self.slots.append([Slot(Memory()) for _ in range(num_slots)])
                memories = [slot.memory for slot in self.slots[number]]
                assignment = Assignment(parcel, number, num_workers, seed, memories)
                self._start(context, number, assignment, forks)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError) and error.errno == errno.EMFILE:
                error.add_note(f"DataLoader: {num_workers} workers with {num_slots} batches ahead "
                               f"need some {num_workers * (num_slots + 4)} open files; need fewer "
                               "of either, or a higher `ulimit -n`")  # fmt: skip
            raise

    def _start(self, context: Any, number: int, assignment: Assignment, forks: bool) -> None:
        ours, theirs = context.Pipe()
        inherited = [*self.channels, ours] if forks else []
        self.channels.append(ours)
        process = context.Process(
            target=work, args=(theirs, assignment, inherited), daemon=True,
            name=f"{WORKER}{number}",
        )  # fmt: skip
        try:
            if context.get_start_method() == "forkserver":  # which has been started undisturbed
                process.start()
            else:
                with undisturbed():
                    process.start()
        finally:
            theirs.close()
        self.processes.append(process)
        self._selector.register(ours, selectors.EVENT_READ, number)

    def free(self, worker: int) -> int | None:
        """A slot of the worker that is not in use."""
        return next((n for n in range(self.num_slots) if n not in self.orders[worker]), None)

    def idlest(self) -> int | None:
        """The worker with the fewest orders, or None where all have enough."""
        worker = min(range(len(self.orders)), key=lambda n: len(self.orders[n]))
        return worker if len(self.orders[worker]) < self.num_slots else None

    def send(self, worker: int, order: Order) -> None:
        """Give a worker an order; its slot is taken until `unpack` or `discard`."""
        self.orders[worker][order.slot] = order
        try:
            self.channels[worker].send(order)
        except OSError:
            raise self._death(worker) from None

    def receive(self, timeout: float = 0.0) -> tuple[int, Order, Reply]:
        """The next answer of any worker.

        Errors: WorkerError where a worker has died, or none answers within `timeout` seconds.
        """
        events = self._selector.select(timeout or None)
        if not events:
            raise self._late(timeout)
        worker = events[0][0].data
        try:
            reply: Reply = self.channels[worker].recv()
        except (EOFError, OSError):
            raise self._death(worker) from None
        waiting = self.orders[worker].values()
        order = next(o for o in waiting if o.number == reply[0] and not o.answered)
        order.answered = True
        return worker, order, reply

    def unpack(self, worker: int, order: Order, reply: Reply) -> Any:
        """The batch of an answer; its slot is free again.

        Errors: WorkerError for what went wrong in the worker, from the exception itself;
            KeyboardInterrupt where that was one.
        """
        self.discard(worker, order)
        _, found, places = reply
        if isinstance(found, Trouble):
            raise self._failure(worker, order, found)
        return self.slots[worker][order.slot].unpack(found, places, native_empty)

    def discard(self, worker: int, order: Order) -> None:
        """The answer is not wanted."""
        self.orders[worker].pop(order.slot)

    def drain(self) -> None:
        """Wait for what an abandoned pass left under way, and forget it."""
        while any(self._works(worker) for worker in range(len(self.orders))):
            self.receive()
        for orders in self.orders:
            orders.clear()

    def _works(self, worker: int) -> bool:
        return any(not order.answered for order in self.orders[worker].values())

    def _failure(self, worker: int, order: Order, trouble: Trouble) -> BaseException:
        where = trouble.where or _batch(order)
        text = f"DataLoader: worker {worker} failed at {where}: {trouble.kind}"
        if trouble.where == "starting":
            text = (f"DataLoader: worker {worker} could not start: {trouble.kind}; a worker "
                    "imports what the dataset needs: need classes and functions at the top of "
                    "a module that can be imported, or multiprocessing_context='fork'")  # fmt: skip
        error = WorkerError(f"{text}\n\n{trouble.text}")
        error.worker, error.sample = worker, order.indices
        if trouble.error is not None:
            error.__cause__ = pickle.loads(trouble.error)
        if isinstance(error.__cause__, KeyboardInterrupt):
            return error.__cause__
        return error

    def _death(self, worker: int) -> WorkerError:
        process = self.processes[worker]
        process.join(GRACE)
        code = process.exitcode
        doing = ", ".join(_described(order) for order in self.orders[worker].values())
        how = f"ended with exit code {code}"
        if code is not None and code < 0:
            with suppress(ValueError):
                how = f"was killed by {signal.Signals(-code).name}"
                how += f", {KILLED[signal.Signals(-code)]}" if -code in KILLED else ""
        elif code == 1:
            how += ("; if this is a script, its start has to stand below "
                    "`if __name__ == '__main__':`, because workers import it")  # fmt: skip
        error = WorkerError(f"DataLoader: worker {worker} (process {process.pid}) {how}"
                            + (f"; it was asked for {doing}" if doing else ""))  # fmt: skip
        error.worker = worker
        return error

    def _late(self, timeout: float) -> WorkerError:
        waited = [f"worker {number}: {', '.join(map(_described, orders.values()))}"
                  for number, orders in enumerate(self.orders) if orders]  # fmt: skip
        return WorkerError(
            f"DataLoader: no batch within timeout={timeout:g} seconds ({'; '.join(waited)}); need "
            "a longer timeout, or a dataset that answers"
        )

    def close(self) -> None:
        """End all workers: those that wait end by themselves, those that work are ended."""
        for channel in self.channels:
            channel.close()
        busy = [self._works(worker) for worker in range(len(self.orders))]
        for process, works in zip(self.processes, busy, strict=False):
            if works:
                process.terminate()
        deadline = time.monotonic() + GRACE
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
        self._selector.close()
        self.processes, self.channels, self.slots = [], [], []
        self.orders = []


def _described(order: Order) -> str:
    if order.indices is None:
        return _batch(order)
    indices = [order.indices] if not hasattr(order.indices, "__len__") else list(order.indices)
    shown = ", ".join(map(str, indices[:4])) + (", ..." if len(indices) > 4 else "")
    return f"{_batch(order)} (samples {shown})"


def _batch(order: Order) -> str:
    """A batch by its number; of a stream each worker counts those of its own share."""
    return f"{'batch' if order.indices is not None else 'its batch'} {order.number}"


def choose(content: Content, context: Any) -> tuple[Parcel | Content, Any]:
    """What the workers are given, and how they are started."""
    if context is not None:
        found = context
        if isinstance(context, str):
            known = multiprocessing.get_all_start_methods()
            if context not in known:
                raise ArgumentError(f"DataLoader: multiprocessing_context is {context!r}; need one "
                                    f"of {', '.join(known)}")  # fmt: skip
            found = multiprocessing.get_context(context)
        forks = found.get_start_method() == "fork"
        return (content if forks else _parcel(content)), _ready(found)
    known = multiprocessing.get_all_start_methods()
    cause: Exception | None = None
    try:
        parcel = Parcel(content)
        problem = _unreachable(parcel)
    except Exception as error:  # whatever a user's __reduce__ or pickle itself raises
        problem, cause = f"{type(error).__name__}: {error}", error
    else:
        if not problem:
            method = "forkserver" if "forkserver" in known else "spawn"
            return parcel, _ready(multiprocessing.get_context(method))
    threads = [t.name for t in threading.enumerate()
               if t is not threading.main_thread() and not t.name.startswith(POOL)]  # fmt: skip
    if "fork" in known and not threads:
        cause = None  # its traceback holds this frame, and with it all callers' memory
        return content, multiprocessing.get_context("fork")
    raise ArgumentError(
        f"DataLoader: the dataset cannot be sent to workers ({problem}), and this process cannot "
        f"be forked: it has other threads ({', '.join(threads) or 'or no fork'}); need datasets "
        "and functions defined at the top of a module, not lambdas or closures; or num_workers=0; "
        "or multiprocessing_context='fork' at your own risk"
    ) from cause


def _parcel(content: Content) -> Parcel:
    try:
        return Parcel(content)
    except Exception as error:  # as above
        raise ArgumentError(
            f"DataLoader: the dataset cannot be sent to workers ({type(error).__name__}: {error}); "
            "need datasets and functions defined at the top of a module, not lambdas or closures; "
            "or num_workers=0, or multiprocessing_context='fork'"
        ) from error


def _unreachable(parcel: Parcel) -> str:
    """Why workers could not import what a pickle names, or ""."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if file is not None and not os.path.exists(file):
        return f"workers cannot read the program, which came from {file}"
    text = parcel.memory.bytes(parcel.sizes[0])[: parcel.sizes[0]].tobytes()
    if b"__main__" in text and file is None:
        return "it is defined in an interactive session, which workers cannot import"
    return ""


def _ready(context: Any) -> Any:
    method = context.get_start_method()
    if method != "fork":  # it blocks and unblocks by itself: not when `undisturbed`
        multiprocessing.resource_tracker.ensure_running()
    if method == "forkserver":
        server = getattr(multiprocessing.forkserver, "_forkserver", None)
        loaded = list(getattr(server, "_preload_modules", ["__main__"]))
        if SERVER not in loaded:  # before the server runs: later this changes nothing
            context.set_forkserver_preload([*loaded, SERVER])
        with undisturbed():
            multiprocessing.forkserver.ensure_running()
    return context


@contextmanager
def undisturbed() -> Iterator[None]:
    """What this thread starts meanwhile has Ctrl-C blocked from its first moment: a terminal sends
    it to all processes, and one that is still importing would complain and be gone."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
