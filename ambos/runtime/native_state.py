"""What native code and Python share, laid out for both."""

from __future__ import annotations

import ctypes

WORD = ctypes.c_int64


class Control(ctypes.Structure):
    """The pool's shared state. What different threads write lies on different cache lines."""

    _fields_ = (
        ("done", WORD),  # chunks that workers have finished
        ("line0", WORD * 15),
        ("epoch", ctypes.c_int32),  # the futex
        ("sleepers", ctypes.c_int32),
        ("line1", WORD * 15),
        ("threads", WORD),  # settings, which change only while nothing runs
        ("lines", WORD),
        ("spins", WORD),
        ("stop", WORD),
        ("scratch", WORD),
        ("scratch_stride", WORD),
        ("arena", WORD),
        ("mode", WORD),  # what becomes of subnormal numbers (runtime.denormal)
        ("line2", WORD * 8),
        ("failed", WORD),  # not 0: what runs gives up (native_control)
        ("outside", WORD),  # the mode in which the run in progress was called
        ("second", WORD),  # at which loops last asked whether the user has had enough
        ("lock", WORD),  # addresses of Python's functions: take the GIL,
        ("interrupted", WORD),  # has SIGINT arrived?
        ("unlock", WORD),
        ("answered", WORD),  # by Python, with what was asked of it
        ("line3", WORD * 9),
    )


class Line(ctypes.Structure):
    """One thread's range of a launch. Two cache lines, since processors fetch them in pairs."""

    _fields_ = (
        ("tickets", WORD),
        ("high", WORD),  # end of the range
        ("function", WORD),
        ("args", WORD),
        ("items", WORD),
        ("chunk", WORD),  # items in a chunk
        ("rest", WORD * 10),
    )


class Header(ctypes.Structure):
    """A Program for `execute`."""

    _fields_ = (
        ("control", WORD),
        ("arena", WORD),  # where the arena was when its pointers were last filled in
        ("arena_patches", WORD),  # (address of the word, offset) ...
        ("num_arena_patches", WORD),
        ("patches", WORD),  # (address of the word, slot, offset) ...
        ("num_patches", WORD),
        ("records", WORD),  # (function, args, items, serial) per launch
    )
