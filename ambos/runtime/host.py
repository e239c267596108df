"""Launches that Python computes: an op's host rule (LAPACK, FFT) on the memory of a Program.

Arguments lie in the launch's words as those of a kernel do. Operands are looked at where they lie,
results are copied to where the memory plan wants them. Such a launch runs on the calling thread.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from ambos.core.dtype import DType
from ambos.core.errors import CompilerError, LinAlgError
from ambos.core.program import Block, Host, Launch
from ambos.core.shape import Shape, size_of
from ambos.ops.kinds import op

Values = np.ndarray[Any, Any]


class HostFailure(Exception):
    """A host rule gave up, or a loop met an index out of range: `error` says why, `sources` which
    nodes were being computed (`core.program.Work`)."""

    def __init__(self, sources: tuple[int, ...], error: Exception) -> None:
        super().__init__(str(error))
        self.sources, self.error = sources, error


class HostLaunch:
    """A launch whose argument words lie at address `args`."""

    def __init__(self, launch: Launch, host: Host, args: int) -> None:
        self.host, self.rule = host, op(host.op).host
        self.sources = launch.work.sources
        self.words = (ctypes.c_int64 * len(launch.words)).from_address(args)
        self.operands = [(b.word, _extents(launch, b), _type(b.dtype)) for b in host.operands]
        self.results = [
            (part, b.word, _extents(launch, b), _type(b.dtype)) for part, b in host.results
        ]

    def run(self) -> None:
        """Compute.

        Errors: LinAlgError, and what else the rule raises.
        """
        operands = [self._view(word, shape, kind) for word, shape, kind in self.operands]
        for operand in operands:
            operand.flags.writeable = False
        results = [self._view(word, shape, kind) for _, word, shape, kind in self.results]
        with np.errstate(all="ignore"):
            try:
                found = self.rule(np, *operands, *self.host.attrs)
            except np.linalg.LinAlgError as error:
                raise LinAlgError(f"{self.host.op}: {error}") from error
        for (part, _, shape, kind), result in zip(self.results, results, strict=True):
            if found[part].shape != shape or found[part].dtype != kind:
                raise CompilerError(
                    f"{self.host.op}: result {part} is {found[part].dtype}{found[part].shape}; "
                    f"{kind}{shape} was inferred"
                )
            result[...] = found[part]

    def _view(self, word: int, shape: Shape, kind: np.dtype[Any]) -> Values:
        count = size_of(shape)
        if not count:
            return np.empty(shape, kind)
        memory: Any = (ctypes.c_char * (count * kind.itemsize)).from_address(self.words[word])
        return np.ndarray(shape, kind, memory)


def _extents(launch: Launch, block: Block) -> Shape:
    first = block.word + 1
    return tuple(int(n) for n in launch.words[first : first + block.rank])  # type: ignore[arg-type]


def _type(dtype: DType) -> np.dtype[Any]:
    return np.dtype(dtype.name)
