"""Loop IR -> the Kernel that a launch names: its name, and the way to its text."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ambos.compiler import loops
from ambos.compiler.attention_loops import AttentionGradientKernel, AttentionKernel
from ambos.compiler.emit import emit_loop
from ambos.compiler.emit_attention import emit_attention
from ambos.compiler.emit_attention_gradient import emit_attention_gradient
from ambos.compiler.emit_attention_single import emit_attention_single
from ambos.compiler.emit_contract import emit_contract
from ambos.compiler.emit_scan import emit_scan
from ambos.compiler.emit_small_contract import SmallContract, emit_small_contract
from ambos.compiler.emit_sort import emit_sort
from ambos.compiler.emit_woven import emit_woven
from ambos.compiler.inside import ControlKernel
from ambos.compiler.launches import AnyKernel
from ambos.core.config import config
from ambos.core.open import Sheet
from ambos.core.program import Host, Kernel, no_text
from ambos.graph.node import tracking
from ambos.ops.kinds import op as find_op


def kernel_name(kernel: AnyKernel | SmallContract) -> str:
    if type(tracking.scope) is Sheet:  # it may hold numbers that are left open, and must not
        return digest(repr(kernel))
    return _known_name(kernel)


@lru_cache(maxsize=4096)
def _known_name(kernel: AnyKernel | SmallContract) -> str:
    return digest(repr(kernel))


def digest(text: str) -> str:
    return "k" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def kernel_of(kernel: AnyKernel | SmallContract, label: str) -> Kernel:
    """The machine-code function of a loop IR kernel; its text is written only if needed."""
    if isinstance(kernel, ControlKernel):  # however many steps: as its parts' kernels
        control, woven = kernel.control, kernel.woven
        if woven is not None:
            name = digest(repr(woven))
            return Kernel(name, lambda: emit_woven(woven, name), label, control=control)
        names = [[x.kernel.name for x in part.program.launches] for part in control.parts]
        return Kernel(digest(f"{control.how} {names}"), no_text, label, control=control)
    name = kernel_name(kernel)
    if isinstance(kernel, Host):
        return Kernel(name, no_text, label, kernel)

    def emit() -> str:
        trace(4, lambda: f"{name} {label}\n{kernel}")
        if isinstance(kernel, loops.LoopKernel):
            text = emit_loop(kernel, name, rule_of)
        elif isinstance(kernel, loops.ContractKernel):
            text = emit_contract(kernel, name, rule_of)
        elif isinstance(kernel, SmallContract):
            text = emit_small_contract(kernel, name, rule_of)
        elif isinstance(kernel, AttentionKernel):
            emit_forward = emit_attention_single if kernel.single else emit_attention
            text = emit_forward(kernel, name)
        elif isinstance(kernel, AttentionGradientKernel):
            text = emit_attention_gradient(kernel, name)
        elif isinstance(kernel, loops.ScanKernel):
            text = emit_scan(kernel, name, rule_of)
        else:
            text = emit_sort(kernel, name)
        trace(5, lambda: text)
        return text

    return Kernel(name, emit, label)


def rule_of(op: str) -> Callable[..., Any]:
    """The scalar rule of a pointwise op."""
    rule: Callable[..., Any] = find_op(op).lower
    return rule


def trace(level: int, text: Callable[[], str]) -> None:
    """Print `text()` to stderr when AMBOS_DEBUG asks for this level."""
    if config.debug >= level:
        print(text(), file=sys.stderr)
