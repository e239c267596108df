"""Datasets that worker processes import: without pytest and PyTorch, which take seconds."""

import os
import random
import signal
import sys
import time

import numpy as np

import ambos as am
from ambos.data import Dataset, IterableDataset, get_worker_info


class Noisy(Dataset):
    """Augmented: random numbers of its own for each sample."""

    def __init__(self, count=23, size=3):
        self.count, self.table = count, np.arange(count * size).reshape(count, size)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return {"x": self.table[index] + am.data.random().normal(), "y": index, "name": str(index)}


class Unusual(Exception):
    """Is pickled, and cannot be made again from that."""

    def __init__(self, first, second):
        super().__init__(first)


class Bad(Dataset):
    """Fails at a sample, in a way of its own."""

    def __init__(self, how):
        self.how = how

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == 5:
            if self.how == "raise":
                raise KeyError("no such image")
            if self.how == "unusual":
                raise Unusual("no", "image")
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "exit":
                os._exit(3)
            if self.how == "leave":
                sys.exit(3)
            if self.how == "interrupt":
                raise KeyboardInterrupt
            if self.how == "shape":
                return np.zeros(3)
            time.sleep(60)
        return np.zeros(2)


def ctrl_c(ends=None):
    """Does Ctrl-C come here, and is it ignored? Sent through a pipe, where there is one."""
    is_blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    found = [not is_blocked, signal.getsignal(signal.SIGINT) is signal.SIG_IGN]
    return found if ends is None else ends.send(found)


def pair(samples):
    rows = np.stack(samples).astype(np.float32)
    return rows, rows


class Listening(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return np.array(ctrl_c())


class Numbers(IterableDataset):
    def __iter__(self):
        yield from np.arange(23)


class Shared(IterableDataset):
    """Shares by itself, as datasets written for PyTorch do."""

    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        yield from np.arange(first, 11, step)


class Unloadable(Dataset):
    lost = True

    def __len__(self):
        return 3

    def __getstate__(self):
        return {"lost": True}

    def __setstate__(self, state):
        raise ValueError("no file")


def describe(batch):
    """Who collates: a function of the user's, whose arrays stay arrays."""
    return len(batch), np.stack([sample["x"] for sample in batch]), "text" * 2000, am.ones(2)


def mixed(batch):
    """Random for a batch, as mixup is; and what global streams give."""
    labels = [sample["y"] for sample in batch]
    share = am.data.random().random(dtype=np.float32)
    return labels, share


def drawn(batch):
    torch = sys.modules["torch"]  # each worker of a fork server would wait for an import
    return am.rand(1).item(), torch.rand(1).item(), random.random(), np.random.rand()


def mark(number):
    os.environ["MARK"] = str(number)


class Marked(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        info = get_worker_info()
        time.sleep(0.05)
        return info.id, info.num_workers, int(os.environ["MARK"]), np.random.rand()
