"""The floating-point mode of a run: what becomes of subnormal numbers, in every thread of it.

A thread's mode is a register that whoever calls us may have set (torch.set_flush_denormal, code
built with -ffast-math). The same bits everywhere need the same mode everywhere. So whoever is about
to run kernels, caller or worker, first looks whether the register holds what the pool's state
says, writes it where it does not, and writes back what it found before returning. The look costs
about 3 ns.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Register:
    """The mode register: `plain` (round to nearest, no traps), the bits that flush subnormal
    operands and results, the bits that say how to compute (the rest are sticky flags), and the
    text of `i64 @read_mode()` and `void @write_mode(i64)`."""

    plain: int
    flush: int
    settings: int
    text: str


MXCSR = Register(0x1F80, 0x8040, 0xFFC0, """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define internal i64 @read_mode() nounwind {
  %place = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %place)
  %mode = load i32, ptr %place
  %wide = zext i32 %mode to i64
  ret i64 %wide
}
define internal void @write_mode(i64 %wide) nounwind {
  %place = alloca i32
  %mode = trunc i64 %wide to i32
  store i32 %mode, ptr %place
  call void @llvm.x86.sse.ldmxcsr(ptr %place)
  ret void
}
""")  # fmt: skip

FPCR = Register(0, 1 << 24, -1, """
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)
define internal i64 @read_mode() nounwind {
  %mode = call i64 @llvm.aarch64.get.fpcr()
  ret i64 %mode
}
define internal void @write_mode(i64 %mode) nounwind {
  call void @llvm.aarch64.set.fpcr(i64 %mode)
  ret void
}
""")  # fmt: skip

UNKNOWN = Register(0, 0, -1, """
define internal i64 @read_mode() nounwind {
  ret i64 0
}
define internal void @write_mode(i64 %mode) nounwind {
  ret void
}
""")  # fmt: skip

# What the register held, now that it holds the pool's mode; and the way back.
ADOPT = """
define internal i64 @adopt_mode(ptr %control) nounwind {
  %wanted_at = getelementptr i8, ptr %control, i64 $MODE
  %wanted = load i64, ptr %wanted_at
  %found = call i64 @read_mode()
  %settings = and i64 %found, $SETTINGS
  %same = icmp eq i64 %settings, %wanted
  br i1 %same, label %end, label %change
change:
  call void @write_mode(i64 %wanted)
  br label %end
end:
  ret i64 %found
}
define internal void @return_mode(i64 %before) nounwind {
  %now = call i64 @read_mode()
  %differs = xor i64 %now, %before
  %settings = and i64 %differs, $SETTINGS
  %same = icmp eq i64 %settings, 0
  br i1 %same, label %end, label %change
change:
  call void @write_mode(i64 %before)
  br label %end
end:
  ret void
}
"""


# From outside, and back with the mode that was found there.
ENTER = """
define internal void @execute(ptr %header, ptr %slots, i64 %first, i64 %last) nounwind {
  %control = load ptr, ptr %header
  %mode = call i64 @adopt_mode(ptr %control)
  %outside = getelementptr i8, ptr %control, i64 $OUTSIDE
  store i64 %mode, ptr %outside
  call void @walk(ptr %header, ptr %slots, i64 %first, i64 %last)
  call void @return_mode(i64 %mode)
  ret void
}
define internal void @worker(ptr %control, i64 %id) nounwind {
  %mode = call i64 @adopt_mode(ptr %control)
  call void @serve(ptr %control, i64 %id)
  call void @return_mode(i64 %mode)
  ret void
}
"""


def register_of(triple: str) -> Register:
    """The mode register of a target."""
    if triple.startswith("x86_64"):
        return MXCSR
    return FPCR if triple.startswith(("aarch64", "arm64")) else UNKNOWN


def can_flush(triple: str) -> bool:
    """Whether processors of this target can flush subnormal numbers.

    Example:
        >>> can_flush("x86_64-unknown-linux-gnu"), can_flush("wasm32-unknown-unknown")
        (True, False)
    """
    return register_of(triple).flush != 0


def mode(triple: str, flush: bool) -> int:
    """What the settings of the register shall be."""
    register = register_of(triple)
    return register.plain | (register.flush if flush else 0)


def text(triple: str, offset: int, outside: int) -> str:
    """`i64 @adopt_mode(control)`, `void @return_mode(i64)`, and between them the engine's `@walk`
    and `@serve` as @execute and @worker. The pool's mode is at `offset` of its state, the address
    of which is the first field of a Program's header; at `outside` is noted what was found."""
    register = register_of(triple)
    adopt = ADOPT.replace("$MODE", str(offset)).replace("$SETTINGS", str(register.settings))
    return register.text + adopt + ENTER.replace("$OUTSIDE", str(outside))
