"""The native part of loops and branches, as LLVM text: launches that walk other Programs.

A loop's table of cells holds the addresses of everything its parts read and write; where they lie
changes from step to step by moving or exchanging addresses, never by copying numbers. A part has
two headers: one patches, before the first step, what stays where it is, the other what moves, at
every step.
"""

from __future__ import annotations

import ctypes

from ambos.runtime.native_state import WORD, Control

NO_CELL = -1


class Inside(ctypes.Structure):
    """A Program in a loop or branch."""

    _fields_ = (
        ("fixed", WORD),  # header without launches, whose patches are bound once
        ("header", WORD),
        ("launches", WORD),
        ("check", WORD),  # cell, or NO_CELL
    )


class Loop(ctypes.Structure):
    """A `core.program.Control` as arguments of `repeat`, `until` and `choose`. Tables are addresses
    followed by numbers of entries."""

    _fields_ = (
        ("words", WORD),  # of the launch
        ("cells", WORD),
        ("parts", WORD),
        ("num_parts", WORD),
        ("length", WORD),
        ("flag", WORD),
        ("number", WORD),
        ("failed_part", WORD),
        ("begins", WORD),
        ("num_begins", WORD),
        ("copies", WORD),
        ("num_copies", WORD),
        ("slides", WORD),
        ("num_slides", WORD),
        ("swaps", WORD),
        ("num_swaps", WORD),
        ("settles", WORD),
        ("num_settles", WORD),
    )


class Watch(ctypes.Structure):
    """What a kernel that is a whole loop shares with the pool (`core.program.Watch`)."""

    _fields_ = (("ask", WORD), ("complaint", WORD), ("control", WORD))


class Call(ctypes.Structure):
    """The arguments of `consult`: a function in Python, and the pool's state."""

    _fields_ = (("function", WORD), ("control", WORD))


ENTRIES = ("repeat", "until", "choose", "consult", "ask")
INTERRUPTED = 2  # why what runs gives up: 1 is Python's error, other numbers are loops


def field(structure: type[ctypes.Structure], name: str, base: str, kind: str = "i64") -> str:
    """Instructions that load a field as %name."""
    offset = getattr(structure, name).offset
    return (
        f"  %{name}_at = getelementptr i8, ptr %{base}, i64 {offset}\n"
        f"  %{name} = load {kind}, ptr %{name}_at\n"
    )


def _each(name: str, table: str, width: int, code: str) -> str:
    """A function that runs `code` for every entry (%v0, %v1, ...) of a table of a loop."""
    loads = "".join(
        f"  %v{i}_at = getelementptr i64, ptr %at, i64 {i}\n  %v{i} = load i64, ptr %v{i}_at\n"
        for i in range(width)
    )
    return f"""
define internal void @{name}(ptr %loop) nounwind {{
entry:
{field(Loop, "words", "loop", "ptr")}{field(Loop, "cells", "loop", "ptr")}
{field(Loop, table, "loop", "ptr")}{field(Loop, f"num_{table}", "loop")}
  br label %next
next:
  %i = phi i64 [0, %entry], [%i_next, %do]
  %more = icmp slt i64 %i, %num_{table}
  br i1 %more, label %do, label %end
do:
  %at = getelementptr [{width} x i64], ptr %{table}, i64 %i
{loads}{code}
  %i_next = add i64 %i, 1
  br label %next
end:
  ret void
}}
"""


BEGIN = """
  %word = getelementptr i64, ptr %words, i64 %v1
  %base = load i64, ptr %word
  %address = add i64 %base, %v2
  %cell = getelementptr i64, ptr %cells, i64 %v0
  store i64 %address, ptr %cell"""

COPY = """
  %to_word = getelementptr ptr, ptr %words, i64 %v0
  %from_word = getelementptr ptr, ptr %words, i64 %v1
  %to = load ptr, ptr %to_word
  %from = load ptr, ptr %from_word
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %v2, i1 false)"""

SLIDE = """
  %cell = getelementptr i64, ptr %cells, i64 %v0
  %address = load i64, ptr %cell
  %beyond = add i64 %address, %v1
  store i64 %beyond, ptr %cell"""

# The result becomes the operand; of the two places the other one takes the next result.
SWAP = """
  %in = getelementptr i64, ptr %cells, i64 %v0
  %out = getelementptr i64, ptr %cells, i64 %v1
  %one_word = getelementptr i64, ptr %words, i64 %v2
  %two_word = getelementptr i64, ptr %words, i64 %v3
  %result = load i64, ptr %out
  %one = load i64, ptr %one_word
  %two = load i64, ptr %two_word
  %both = xor i64 %one, %two
  %other = xor i64 %both, %result
  store i64 %result, ptr %in
  store i64 %other, ptr %out"""

SETTLE = """
  %word = getelementptr ptr, ptr %words, i64 %v0
  %cell = getelementptr ptr, ptr %cells, i64 %v1
  %to = load ptr, ptr %word
  %from = load ptr, ptr %cell
  %there = icmp eq ptr %to, %from
  %count = select i1 %there, i64 0, i64 %v2
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %count, i1 false)"""

# Runs part `number` of a loop; whether it failed.
PART = f"""
define internal void @bind(ptr %loop, i64 %number) nounwind {{
{field(Loop, "cells", "loop", "ptr")}{field(Loop, "parts", "loop", "ptr")}
  %part = getelementptr [$INSIDE x i8], ptr %parts, i64 %number
{field(Inside, "fixed", "part", "ptr")}
  call void @walk(ptr %fixed, ptr %cells, i64 0, i64 0)
  ret void
}}
define internal i1 @step(ptr %loop, i64 %number) nounwind {{
entry:
{field(Loop, "cells", "loop", "ptr")}{field(Loop, "parts", "loop", "ptr")}
  %part = getelementptr [$INSIDE x i8], ptr %parts, i64 %number
{field(Inside, "header", "part", "ptr")}{field(Inside, "launches", "part")}
{field(Inside, "check", "part")}
  call void @walk(ptr %header, ptr %cells, i64 0, i64 %launches)
  %control = load ptr, ptr %header
  call void @attend(ptr %control)
  %failed_at = getelementptr i8, ptr %control, i64 $FAILED
  %failed = load i64, ptr %failed_at
  %gave_up = icmp ne i64 %failed, 0
  br i1 %gave_up, label %bad, label %done
done:
  %is_checked = icmp sge i64 %check, 0
  br i1 %is_checked, label %look, label %good
look:
  %cell = getelementptr ptr, ptr %cells, i64 %check
  %place = load ptr, ptr %cell
  %complaint = load i32, ptr %place
  %complains = icmp ne i32 %complaint, 0
  br i1 %complains, label %refuse, label %good
refuse:
  %which_at = getelementptr i8, ptr %loop, i64 {Loop.failed_part.offset}
  store i64 %number, ptr %which_at
  store ptr %loop, ptr %failed_at
  br label %bad
good:
  ret i1 false
bad:
  ret i1 true
}}
"""

LOOPS = f"""
define internal void @repeat(ptr %loop, i64 %begin, i64 %end, ptr %scratch) nounwind {{
entry:
{field(Loop, "length", "loop")}
  call void @begin_cells(ptr %loop)
  call void @copy_first(ptr %loop)
  call void @bind(ptr %loop, i64 0)
  br label %turn
turn:
  %i = phi i64 [1, %entry], [%i_next, %on]
  %bad = call i1 @step(ptr %loop, i64 0)
  %more = icmp slt i64 %i, %length
  %good = xor i1 %bad, true
  %go = and i1 %more, %good
  br i1 %go, label %on, label %end_
on:
  call void @slide_cells(ptr %loop)
  call void @swap_cells(ptr %loop)
  %i_next = add i64 %i, 1
  br label %turn
end_:
  ret void
}}
define internal void @until(ptr %loop, i64 %begin, i64 %end, ptr %scratch) nounwind {{
entry:
{field(Loop, "cells", "loop", "ptr")}{field(Loop, "flag", "loop")}
  %flag_cell = getelementptr ptr, ptr %cells, i64 %flag
  call void @begin_cells(ptr %loop)
  call void @copy_first(ptr %loop)
  call void @bind(ptr %loop, i64 0)
  call void @bind(ptr %loop, i64 1)
  br label %ask
ask:
  %bad = call i1 @step(ptr %loop, i64 0)
  br i1 %bad, label %end_, label %answer
answer:
  %place = load ptr, ptr %flag_cell
  %holds = load i8, ptr %place
  %go = icmp ne i8 %holds, 0
  br i1 %go, label %turn, label %over
turn:
  %worse = call i1 @step(ptr %loop, i64 1)
  br i1 %worse, label %end_, label %on
on:
  call void @swap_cells(ptr %loop)
  br label %ask
over:
  call void @settle_cells(ptr %loop)
  br label %end_
end_:
  ret void
}}
define internal void @choose(ptr %loop, i64 %begin, i64 %end, ptr %scratch) nounwind {{
{field(Loop, "words", "loop", "ptr")}{field(Loop, "number", "loop")}
{field(Loop, "num_parts", "loop")}
  %word = getelementptr ptr, ptr %words, i64 %number
  %place = load ptr, ptr %word
  %asked = load i32, ptr %place
  %wide = sext i32 %asked to i64
  %low = call i64 @llvm.smax.i64(i64 %wide, i64 0)
  %last = sub i64 %num_parts, 1
  %chosen = call i64 @llvm.smin.i64(i64 %low, i64 %last)
  call void @begin_cells(ptr %loop)
  call void @bind(ptr %loop, i64 %chosen)
  %bad = call i1 @step(ptr %loop, i64 %chosen)
  ret void
}}
"""

# Ends the loops where the user has pressed Ctrl-C: asked once a second, since Python may be busy.
ATTEND = """
define internal void @attend(ptr %control) nounwind {
  %second_at = getelementptr i8, ptr %control, i64 $SECOND
  %seen = load i64, ptr %second_at
  %now = call i64 @$TIME(ptr null)
  %same = icmp eq i64 %seen, %now
  br i1 %same, label %end_, label %ask
ask:
  store i64 %now, ptr %second_at
  %lock_at = getelementptr i8, ptr %control, i64 $LOCK
  %interrupted_at = getelementptr i8, ptr %control, i64 $INTERRUPTED
  %unlock_at = getelementptr i8, ptr %control, i64 $UNLOCK
  %lock = load ptr, ptr %lock_at
  %interrupted = load ptr, ptr %interrupted_at
  %unlock = load ptr, ptr %unlock_at
  %state = call i32 %lock()
  %arrived = call i32 %interrupted()
  call void %unlock(i32 %state)
  %enough = icmp ne i32 %arrived, 0
  br i1 %enough, label %stop, label %end_
stop:
  %failed_at = getelementptr i8, ptr %control, i64 $FAILED
  store i64 $WHY, ptr %failed_at
  br label %end_
end_:
  ret void
}
declare i64 @$TIME(ptr)
"""

# What a kernel asks that is a whole loop: is it to give up, be it for its own complaint?
ASK = f"""
define internal i64 @ask(ptr %watch) nounwind {{
entry:
{field(Watch, "complaint", "watch")}{field(Watch, "control", "watch", "ptr")}
  %failed_at = getelementptr i8, ptr %control, i64 $FAILED
  %complains = icmp ne i64 %complaint, 0
  br i1 %complains, label %refuse, label %look
refuse:
  store ptr %watch, ptr %failed_at
  br label %end_
look:
  call void @attend(ptr %control)
  br label %end_
end_:
  %failed = load i64, ptr %failed_at
  ret i64 %failed
}}
"""

# Python, in the floating-point mode in which the Program was called. It has failed unless it says
# that it has not: an exception that comes before its first line (Ctrl-C) gets lost on the way.
CONSULT = f"""
define internal void @consult(ptr %call, i64 %begin, i64 %end, ptr %scratch) nounwind {{
{field(Call, "function", "call", "ptr")}{field(Call, "control", "call", "ptr")}
  %outside_at = getelementptr i8, ptr %control, i64 $OUTSIDE
  %outside = load i64, ptr %outside_at
  %answered_at = getelementptr i8, ptr %control, i64 $ANSWERED
  store i64 0, ptr %answered_at
  call void @return_mode(i64 %outside)
  call void %function()
  %mode = call i64 @adopt_mode(ptr %control)
  %answered = load i64, ptr %answered_at
  %good = icmp ne i64 %answered, 0
  br i1 %good, label %end_, label %bad
bad:
  %failed_at = getelementptr i8, ptr %control, i64 $FAILED
  store i64 1, ptr %failed_at
  br label %end_
end_:
  ret void
}}
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""


def text(windows: bool) -> str:
    """The functions ENTRIES."""
    parts = (
        _each("begin_cells", "begins", 3, BEGIN),
        _each("copy_first", "copies", 3, COPY),
        _each("slide_cells", "slides", 2, SLIDE),
        _each("swap_cells", "swaps", 4, SWAP),
        _each("settle_cells", "settles", 3, SETTLE),
        PART, LOOPS, ATTEND, ASK, CONSULT,
    )  # fmt: skip
    found = "\n".join(parts)
    found = found.replace("$TIME", "_time64" if windows else "time")
    numbers = {"INSIDE": ctypes.sizeof(Inside), "WHY": INTERRUPTED}
    for name in ("failed", "outside", "second", "lock", "interrupted", "unlock", "answered"):
        numbers[name.upper()] = getattr(Control, name).offset
    for key, number in numbers.items():
        found = found.replace(f"${key}", str(number))
    return found
