"""What Python computes, on the interpreter's memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ambos.core.program import Block, Host
from ambos.ops.kinds import op


def interpret_host(
    host: Host, words: Sequence[int | float], memory: Mapping[int, np.ndarray[Any, Any]]
) -> None:
    """Run `host` on `memory`, which changes in place."""

    def array(block: Block) -> np.ndarray[Any, Any]:
        shape = tuple(int(n) for n in words[block.word + 1 : block.word + 1 + block.rank])
        return memory[block.word][: math.prod(shape)].reshape(shape)

    found = op(host.op).host(np, *map(array, host.operands), *host.attrs)
    for part, block in host.results:
        array(block)[...] = found[part]
