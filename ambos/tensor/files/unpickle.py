"""Reading pickles without running anything.

A pickle is a program for a small stack machine that may name any function of the process and call
it. The machine here knows the instructions that build plain data; a name may only be one of a list,
and what is called then is ours. Nothing is imported, no attribute of anything is looked up or set,
and work and memory are bounded by the length of the pickle.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from ambos.core.errors import FormatError

Names = Mapping[tuple[str, str], Callable[..., Any]]
Persistent = Callable[[Any], Any]

MOST = 50_000_000  # instructions and entries: a checkpoint has some thousands
LONGEST = 512  # bytes of an integer: random states have some
MARK = object()
CONTAINERS = (list, tuple, dict, set, frozenset)
KEYS = (str, int, float, bool, bytes, type(None))


class Name:
    """A name that is allowed, and what stands for it here."""

    __slots__ = ("function", "title")

    def __init__(self, title: str, function: Callable[..., Any]) -> None:
        self.title, self.function = title, function


class Unknown:
    """Stands for an object of a class that is not known. It holds that name, and does nothing."""

    __slots__ = ("title",)

    def __init__(self, title: str) -> None:
        self.title = title


class Machine:
    """One pickle in `data`, from `position` on.

    Example:
        >>> import pickle
        >>> Machine(pickle.dumps({"a": (1, [2.5, None])}), {}).run()
        {'a': (1, [2.5, None])}
    """

    def __init__(
        self,
        data: bytes | memoryview,
        names: Names,
        persistent: Persistent | None = None,
        position: int = 0,
    ) -> None:
        self.data, self.position = memoryview(data), position
        self.names, self.persistent = names, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def run(self) -> Any:
        """The object that the pickle describes.

        Errors: FormatError for what is no pickle, for a name that is not allowed, and for
            instructions that plain data does not need.
        """
        try:
            for _ in range(MOST):
                code = self.take(1)[0]
                if code == STOP:
                    return self.pop()
                instruction = INSTRUCTIONS.get(code)
                if instruction is None:
                    raise FormatError(
                        f"pickle: instruction {bytes([code])!r} at {self.position - 1} builds more "
                        "than plain data, or this is no pickle"
                    )
                instruction(self)
        except (IndexError, KeyError, ValueError, TypeError, struct.error) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"pickle: damaged at byte {self.position}: {error}") from error
        raise FormatError(f"pickle: more than {MOST} instructions")

    # Reading

    def take(self, count: int) -> memoryview:
        """The next bytes."""
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise FormatError(f"pickle: ends at byte {len(self.data)}; need {count} bytes from "
                              f"{self.position} on")  # fmt: skip
        found = self.data[self.position : end]
        self.position = end
        return found

    def number(self, form: str) -> Any:
        """A number in the notation of `struct`."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """Text up to the end of a line."""
        for length in range(min(1000, len(self.data) - self.position)):
            if self.data[self.position + length] == 10:
                return str(self.take(length + 1)[:-1], "utf-8")
        raise FormatError(f"pickle: no end of a line after byte {self.position}")

    # The stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is MARK:
            raise FormatError(f"pickle: nothing on the stack at byte {self.position}")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        """What is on top of the stack, which has to be a `kind`."""
        if not self.stack or type(self.stack[-1]) is not kind:
            raise FormatError(f"pickle: need a {kind.__name__} at byte {self.position}")
        return self.stack[-1]

    def marked(self) -> list[Any]:
        """All down to the mark."""
        for depth in range(len(self.stack) - 1, -1, -1):
            if self.stack[depth] is MARK:
                found = self.stack[depth + 1 :]
                del self.stack[depth:]
                return found
        raise FormatError(f"pickle: no mark on the stack at byte {self.position}")

    # Names and calls

    def name(self, module: Any, name: Any) -> None:
        """Look up a name among those that are allowed."""
        found = self.names.get((module, name)) if isinstance(module, str) else None
        if found is None:
            raise FormatError(
                f"pickle: wants to use {module}.{name}, but files are read without running "
                "code; need plain data and tensors: torch.save(model.state_dict(), path)"
            )
        self.push(Name(f"{module}.{name}", found))

    def call(self) -> None:
        """Call what a name stands for."""
        arguments, function = self.pop(), self.pop()
        if isinstance(function, Unknown):
            return self.push(function)
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise FormatError(f"pickle: a call of what is no name at byte {self.position}")
        # Each call may copy what it is given: without a bound, few instructions fill the memory.
        self.copied += sum(len(a) for a in arguments if isinstance(a, CONTAINERS))
        if self.copied > MOST:
            raise FormatError(f"pickle: calls copy more than {MOST} entries")
        self.push(function.function(*arguments))

    def persist(self, token: Any) -> None:
        if self.persistent is None:
            raise FormatError("pickle: refers to data outside of it, but there is none")
        self.push(self.persistent(token))

    def build(self) -> None:
        """Attributes of an object: dropped. Dictionaries of PyTorch's have some (_metadata)."""
        self.pop()
        if not self.unknown():
            self.top(dict)

    def unknown(self) -> bool:
        """Is an object of an unknown class on top? What is put into it is dropped."""
        return bool(self.stack) and isinstance(self.stack[-1], Unknown)

    def make(self, extra: int) -> None:
        """A new object of a class, of arguments and `extra`: only of an unknown one."""
        for _ in range(1 + extra):
            self.pop()
        if not self.unknown():
            raise FormatError(f"pickle: builds more than plain data at byte {self.position}")

    # Containers

    def append(self, values: list[Any]) -> None:
        if not self.unknown():
            self.top(list).extend(values)

    def set_items(self, values: list[Any]) -> None:
        if len(values) % 2:
            raise FormatError(f"pickle: a key without a value at byte {self.position}")
        if not self.unknown():
            self.top(dict).update(zip(map(plain_key, values[::2]), values[1::2], strict=True))

    def get(self, place: int) -> None:
        self.push(self.memo[place])

    def put(self, place: int) -> None:
        if not self.stack or self.stack[-1] is MARK or place < 0:
            raise FormatError(f"pickle: nothing to remember at byte {self.position}")
        self.memo[place] = self.stack[-1]


def plain_key(key: Any) -> Any:
    """`key` of a dictionary or set: text, a number, or some of those. (Looking up a tuple of tuples
    of tuples... would exhaust the stack of the process.)

    Example:
        >>> plain_key(("a", 1))
        ('a', 1)
    """
    flat = key if type(key) is tuple else (key,)
    if not all(type(entry) in KEYS for entry in flat):
        raise FormatError(f"pickle: a key is {type(key).__name__}; need text or a number")
    return key


def _pair(machine: Machine) -> list[Any]:
    value, key = machine.pop(), machine.pop()
    return [key, value]


def _last(machine: Machine, count: int) -> tuple[Any, ...]:
    return tuple(reversed([machine.pop() for _ in range(count)]))


def _text(machine: Machine, form: str) -> str:
    return str(machine.take(machine.number(form)), "utf-8", "surrogatepass")


def _old_text(machine: Machine, form: str) -> str:
    return str(machine.take(machine.number(form)), "latin-1")  # Python 2's


def _bytes(machine: Machine, form: str) -> bytes:
    return bytes(machine.take(machine.number(form)))


def _long(machine: Machine, form: str) -> int:
    length = machine.number(form)
    if length > LONGEST:
        raise FormatError(f"pickle: an integer of {length} bytes; need at most {LONGEST}")
    return int.from_bytes(machine.take(length), "little", signed=True)


def _decimal(text: str) -> Any:
    return text == "01" if text in ("00", "01") else int(text.removesuffix("L"))


def _stack_name(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(module, str) or not isinstance(name, str):
        raise FormatError(f"pickle: a name that is no text at byte {machine.position}")
    machine.name(module, name)


def _dictionary(machine: Machine) -> None:
    values = machine.marked()
    machine.push({})
    machine.set_items(values)


def _merge(machine: Machine) -> None:
    values = machine.marked()
    machine.top(set).update(map(plain_key, values))


STOP = ord(".")
INSTRUCTIONS: dict[int, Callable[[Machine], Any]] = {
    key[0]: value
    for key, value in {
        b"\x80": lambda m: m.take(1),  # the protocol
        b"\x95": lambda m: m.take(8),  # a frame
        b"(": lambda m: m.push(MARK),
        b"0": lambda m: m.pop(),
        b"1": lambda m: m.marked(),
        b"2": lambda m: m.push(m.stack[-1]),
        b"N": lambda m: m.push(None),
        b"\x88": lambda m: m.push(True),
        b"\x89": lambda m: m.push(False),
        b"I": lambda m: m.push(_decimal(m.line())),
        b"L": lambda m: m.push(_decimal(m.line())),
        b"J": lambda m: m.push(m.number("<i")),
        b"K": lambda m: m.push(m.number("<B")),
        b"M": lambda m: m.push(m.number("<H")),
        b"\x8a": lambda m: m.push(_long(m, "<B")),
        b"\x8b": lambda m: m.push(_long(m, "<i")),
        b"F": lambda m: m.push(float(m.line())),
        b"G": lambda m: m.push(m.number(">d")),
        b"X": lambda m: m.push(_text(m, "<I")),
        b"\x8c": lambda m: m.push(_text(m, "<B")),
        b"\x8d": lambda m: m.push(_text(m, "<Q")),
        b"T": lambda m: m.push(_old_text(m, "<i")),
        b"U": lambda m: m.push(_old_text(m, "<B")),
        b"B": lambda m: m.push(_bytes(m, "<I")),
        b"C": lambda m: m.push(_bytes(m, "<B")),
        b"\x8e": lambda m: m.push(_bytes(m, "<Q")),
        b")": lambda m: m.push(()),
        b"t": lambda m: m.push(tuple(m.marked())),
        b"\x85": lambda m: m.push(_last(m, 1)),
        b"\x86": lambda m: m.push(_last(m, 2)),
        b"\x87": lambda m: m.push(_last(m, 3)),
        b"]": lambda m: m.push([]),
        b"l": lambda m: m.push(m.marked()),
        b"a": lambda m: m.append([m.pop()]),
        b"e": lambda m: m.append(m.marked()),
        b"}": lambda m: m.push({}),
        b"d": _dictionary,
        b"s": lambda m: m.set_items(_pair(m)),
        b"u": lambda m: m.set_items(m.marked()),
        b"\x8f": lambda m: m.push(set()),
        b"\x90": _merge,
        b"\x91": lambda m: m.push(frozenset(map(plain_key, m.marked()))),
        b"c": lambda m: m.name(m.line(), m.line()),
        b"\x93": _stack_name,
        b"R": lambda m: m.call(),
        b"b": lambda m: m.build(),
        b"\x81": lambda m: m.make(0),
        b"\x92": lambda m: m.make(1),
        b"Q": lambda m: m.persist(m.pop()),
        b"g": lambda m: m.get(int(m.line())),
        b"h": lambda m: m.get(m.number("<B")),
        b"j": lambda m: m.get(m.number("<I")),
        b"p": lambda m: m.put(int(m.line())),
        b"q": lambda m: m.put(m.number("<B")),
        b"r": lambda m: m.put(m.number("<I")),
        b"\x94": lambda m: m.put(len(m.memo)),
    }.items()
}
