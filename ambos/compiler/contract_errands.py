"""What a tile's epilogue will touch, asked for a little at a time while the tile is multiplied.

A core has few buffers for lines on their way. Asked for all at once, what the epilogue needs would
fill them, and the product's own operands would wait behind it. So the driver lists addresses before
the last product of a tile, which is a function of its own and asks for a few of them with every
UNROLL k. Which they are follows from k alone: that costs the loop one register, not three.
"""

from __future__ import annotations

from ambos.compiler.contract_text import Code
from ambos.compiler.loops import K_BLOCK, ContractKernel, Load

UNROLL = 4  # k steps of a product between two tests of the loop condition, and two errands
SOON = 192  # k after which all should have been asked for
PACES = (1, 2, 4)  # so that an address is a base and 2, 4 or 8 times k
FEWEST = 2  # arrays: a result alone is but a few lines


def accesses(kernel: ContractKernel) -> int:
    """How many arrays the epilogue reads and writes."""
    loads = [i for i in kernel.tape if isinstance(i, Load) and i.index.terms]
    return len(loads) + len(kernel.stores)


def has_list(kernel: ContractKernel) -> bool:
    """Is there a list of what to ask for? Else all is asked for at once."""
    return kernel.tile[0] > 1 and not kernel.a_vector and accesses(kernel) >= FEWEST


def lines_of_epilogue(kernel: ContractKernel) -> int:
    """How many lines the epilogue of a tile touches, at most."""
    return accesses(kernel) * kernel.tile[0] * kernel.tile[1]


def pace(kernel: ContractKernel) -> int:
    """How many entries a product asks for at a time."""
    wanted = lines_of_epilogue(kernel) * UNROLL / SOON
    return next((pace for pace in PACES if pace >= wanted), PACES[-1])


def empty_list(code: Code, kernel: ContractKernel) -> str:
    """A list, as long as one may be, of addresses that are near already."""
    entries = max(lines_of_epilogue(kernel), K_BLOCK // UNROLL * pace(kernel))
    table = code.here(f"alloca [{entries} x ptr], align 64")
    with code.loop("0", str(entries), 1) as each:
        place = code.element(table, "ptr", each.index)
        code.effect(f"store ptr {table}, ptr {place}, align 8")
    return table
