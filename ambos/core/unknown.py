"""Sizes that are not known yet: those of data for which a graph is drawn (`am.Input`).

A `Size` is computed with as any number and remembers how it was made; `at` gives the number once
the sizes are known. It is no int, so that nothing takes it for one: what wants a number now is
refused. How sizes compare is told where it is so for any sizes (`polynomial.py`); beyond that code
of ambos, and nobody else, is answered for large ones, which stand in their place. What operations
check when they are made, and once more when they are made anew for a batch, holds if it may.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import sys
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any, NoReturn

from ambos.core.errors import ArgumentError, is_inside
from ambos.core.polynomial import (
    ONE,
    Atom,
    Form,
    Monomial,
    atom,
    constant,
    form_of,
    is_divisor,
    signs,
    value_of,
)

Values = tuple[Any, ...]

BATCH = 67_108_859  # a prime: no other size is made of it
LARGE = (BATCH, 66_528_000)  # 2**8 * 3**3 * 5**3 * 7 * 11
STAND_INS = (*LARGE, 1, 2, 5, 12)
DEPTH = 6  # of what messages show
DRAWN = "M"  # sizes that layers gave, of which only numbers are known for some of the others
CHECKS = ("ambos.ops.", "ambos.core.shape")  # modules in which what is asked is checked again
SAME = "; inputs of one length share it: b = am.Input((a.shape[1],))"

ARITHMETIC: dict[str, tuple[str, Callable[..., Any]]] = {
    "add": ("+", operator.add), "sub": ("-", operator.sub), "mul": ("*", operator.mul),
    "truediv": ("/", operator.truediv), "floordiv": ("//", operator.floordiv),
    "mod": ("%", operator.mod), "pow": ("**", operator.pow), "and": ("&", operator.and_),
    "or": ("|", operator.or_), "xor": ("^", operator.xor), "rshift": (">>", operator.rshift),
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "neg": operator.neg, "pos": operator.pos, "abs": operator.abs, "invert": operator.invert,
    "round": round, "floor": math.floor, "ceil": math.ceil, "trunc": math.trunc,
}  # fmt: skip
CASTS: dict[str, Callable[..., Any]] = {
    "as_bool": bool, "as_int": int, "as_float": float, "as_complex": complex,
}  # fmt: skip
HOW = {name: function for name, (_, function) in ARITHMETIC.items()} | FUNCTIONS | CASTS
EXTREMES = ("max",), ("min",)
HOW |= {"max": max, "min": min}
TOTAL = ("add", "sub", "mul", "and", "or", "xor", *FUNCTIONS)
NEUTRAL = {"add": 0, "sub": 0, "mul": 1}  # of ints: -0.0 + 0 is no -0.0
COMPARISONS = {
    "lt": ("<", operator.lt), "le": ("<=", operator.le), "gt": (">", operator.gt),
    "ge": (">=", operator.ge), "eq": ("==", operator.eq), "ne": ("!=", operator.ne),
}  # fmt: skip


class SizeInt(int):
    """What a Size says that it is a number of: isinstance(n, int)."""


class SizeFloat(float):
    """Likewise n / 2."""


SizeInt.__name__ = SizeFloat.__name__ = "Size"  # in messages of others, which show this


class Size:
    """A size that is not known yet, or a number made of such.

    `values` are what it is for the stand-ins, `made` how it was made: (name, *operands), or nothing
    for one that is given, whose values are its own; those of equal `form` are equal. `parts`: the
    given ones that it is made of. `is_total`: it is a whole number for any sizes, as 1 // (n - 1)
    is not.

    Example:
        >>> n = Size(STAND_INS)
        >>> (2 * n - 1).at({n: 4}), (n // 3).at({n: 10}), n * 2 == 2 * n
        (7, 3, True)
    """

    __slots__ = ("form", "is_total", "made", "name", "parts", "values")

    def __init__(self, values: Values, made: tuple[Any, ...] = (), name: str = "N") -> None:
        self.values, self.made, self.name = values, made, name
        if made:
            are_whole = all(isinstance(each, int) for each in made[1:])
            forms = tuple(map(_form, made[1:]))
            self.form = form_of(made[0], forms, are_whole)
            is_safe = made[0] in TOTAL or (made[0] in ("floordiv", "mod") and is_divisor(forms[1]))
            self.is_total = are_whole and is_safe and all(map(_is_total, made[1:]))
            self.parts = tuple(dict.fromkeys(part for each in made[1:] for part in _parts(each)))
        else:
            self.form, self.is_total, self.parts = atom(("size", values, name)), True, (self,)

    def at(self, sizes: Mapping[Size, int]) -> Any:
        """The number, where those sizes are known. Errors: ArgumentError for one that is not."""
        if not self.made:
            if self not in sizes:
                raise ArgumentError(
                    f"Model: it is made of the size {self} of the result of a layer that it does "
                    "not need otherwise; need that in a module's forward"
                    if self.name == DRAWN
                    else f"Model: it is made of the size {self} of an am.Input that is not among "
                    "the inputs; need it there"
                )
            return sizes[self]
        numbers = sizes if isinstance(sizes, Numbers) else Numbers(sizes)
        if id(self) not in numbers.found:
            name, *operands = self.made
            numbers.found[id(self)] = self, HOW[name](*(at(each, numbers) for each in operands))
        return numbers.found[id(self)][1]

    @property  # type: ignore[misc]  # a class that is asked of each number
    def __class__(self) -> Any:
        """What it is a number of: isinstance(n, int)."""
        return SizeInt if isinstance(self.values[0], int) else SizeFloat

    def __reduce__(self) -> Any:
        return Size, (self.values, self.made, self.name)

    def __getattr__(self, name: str) -> NoReturn:
        if not name.startswith("_") and (hasattr(int, name) or hasattr(float, name)):
            refuse(f"({self}).{name}")
        raise AttributeError(f"a Size, a number that no batch has told yet, has no {name!r}")

    def __hash__(self) -> int:
        return hash((self.values, self.form))  # hash(-1) is hash(-2)

    def __repr__(self) -> str:
        return _shown(self, DEPTH)

    def __format__(self, spec: str) -> str:
        try:
            return format(repr(self), spec)
        except ValueError:  # digits are wanted
            refuse(f"format({self}, {spec!r})")

    def __bool__(self) -> bool:
        if not all(self.values) and any(self.values):  # n - 1 is nothing where n is 1
            refuse(f"bool({self})")
        return _decided(self, "!=", operator.ne, 0)

    def __divmod__(self, other: Any) -> Any:
        return (self // other, self % other) if _is_number(other) else NotImplemented

    def __rdivmod__(self, other: Any) -> Any:
        return (other // self, other % self) if _is_number(other) else NotImplemented

    def __lshift__(self, other: Any) -> Any:
        return made("mul", self, 1 << other) if isinstance(other, int) else NotImplemented

    def __rlshift__(self, other: Any) -> NoReturn:
        refuse(f"{other} << {self}")  # would fill the memory

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        refuse(f"{self} in NumPy")

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **_: Any) -> Any:
        """NumPy's numbers leave arithmetic to us: np.float32(0.5) * n."""
        how = {"multiply": "mul", "divide": "truediv", "subtract": "sub", "add": "add"}
        name = how.get(ufunc.__name__)
        plain = [x.item() if type(x).__module__ == "numpy" and x.ndim == 0 else x for x in operands]
        if name is None or method != "__call__" or not all(map(_is_number, plain)):
            refuse(f"np.{ufunc.__name__} of {self}")
        return made(name, *plain)


class Numbers(dict[Size, int]):
    """What sizes are, and `found`, what was made of them: each expression is evaluated once."""

    def __init__(self, known: Mapping[Size, int] = {}) -> None:
        super().__init__(known)
        self.found: dict[int, tuple[Size, Any]] = {}


def at(value: Any, sizes: Mapping[Size, int]) -> Any:
    """An attribute where the sizes are known: Sizes in it, in tuples and in dataclasses, are
    numbers.

    Example:
        >>> n = Size(STAND_INS)
        >>> at((n, 3 * n, 5), {n: 2})
        (2, 6, 5)
    """
    if isinstance(value, Size):
        return value.at(sizes)
    if isinstance(value, tuple):
        parts = [at(part, sizes) for part in value]
        if all(map(operator.is_, parts, value)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        changed = {name: at(part, sizes) for name, part in fields.items()}
        if any(changed[name] is not fields[name] for name in fields):
            return dataclasses.replace(value, **changed)
    return value


def made(name: str, *operands: Any) -> Any:
    """What `name` makes of these numbers, some of which are no more known than a Size is."""
    if name in NEUTRAL and all(isinstance(each, int) for each in operands):
        left, right = operands
        if not is_unknown(right) and right == NEUTRAL[name]:
            return left
        if not is_unknown(left) and left == NEUTRAL[name] and name != "sub":
            return right
    if name == "pow" and isinstance(operands[1], Size) and not isinstance(operands[0], float):
        refuse(f"{_shown(operands[0], DEPTH)} ** {operands[1]}")  # would fill the memory
    found = _made(name, operands)
    if name in ("max", "min") and found.form in map(_form, operands):
        return operands[[*map(_form, operands)].index(found.form)]
    return _short(found) if found.is_total and name != "mod" else found


def _made(name: str, operands: tuple[Any, ...]) -> Size:
    each = [_values(part) for part in operands]
    given = list(zip(*each, strict=True))
    large = [HOW[name](*numbers) for numbers in given[: len(LARGE)]]
    small = [_tried(HOW[name], numbers) for numbers in given[len(LARGE) :]]
    return Size((*large, *small), (name, *operands))


def _tried(function: Callable[..., Any], operands: Values) -> Any:
    """Small sizes may be too small: 1 / (n - 1)."""
    try:
        return function(*operands)
    except (ArithmeticError, TypeError, ValueError):
        return None


def is_unknown(value: Any) -> bool:
    """Is it a size that is not known yet?"""
    return isinstance(value, Size)


def has_unknown(attrs: tuple[Any, ...]) -> bool:
    """Is there one among attributes of an operation?"""
    for each in attrs:
        if isinstance(each, Size) or (type(each) is tuple and has_unknown(each)):
            return True
    return False


def whole(value: Any) -> Any:
    """`operator.index` for those who pass sizes on."""
    return value if isinstance(value, Size) else operator.index(value)


def wholes(values: Iterable[Any]) -> tuple[Any, ...]:
    """The same for several, mostly integers."""
    values = tuple(values)
    try:
        return tuple(map(operator.index, values))
    except ArgumentError:  # a Size is no index
        return tuple(map(whole, values))


def as_float(value: Any) -> Any:
    """`float` for those who compute with sizes."""
    return made("as_float", value) if isinstance(value, Size) else float(value)


def larger(a: Any, b: Any) -> Any:
    """`max` for those whose sizes may turn out small."""
    return made("max", a, b) if isinstance(a, Size) or isinstance(b, Size) else max(a, b)


def smaller(a: Any, b: Any) -> Any:
    """`min` likewise."""
    return made("min", a, b) if isinstance(a, Size) or isinstance(b, Size) else min(a, b)


def known(what: str, size: Any) -> Any:
    """`size`, where `what` depends on it being one number or another, or an ArgumentError."""
    return refuse(f"{what} ({size})") if isinstance(size, Size) else size


def refuse(text: str, more: str = "") -> NoReturn:
    """The error for what needs the number."""
    raise ArgumentError(
        f"am.Input: {text} needs a number, and N, the number of examples, and sizes that are None "
        "are not known when a functional model is drawn; need this in a module's forward (right "
        "here are sizes such as x.reshape(n, -1), and arithmetic: 2 * n, n // 2, n ** 0.5)"
        f"{more}"
    )


def _values(number: Any) -> Values:
    return number.values if isinstance(number, Size) else (number,) * len(STAND_INS)


def _form(number: Any) -> Form:
    return number.form if isinstance(number, Size) else constant(number)


def _parts(number: Any) -> tuple[Size, ...]:
    return number.parts if isinstance(number, Size) else ()


def _is_total(number: Any) -> bool:
    return number.is_total if isinstance(number, Size) else True


def _shown(number: Any, depth: int) -> str:
    """As one would write it, so far down: what is left of it is "..."."""
    if not isinstance(number, Size):
        return repr(number)
    if not number.made:
        return number.name
    if not depth:
        return "..."
    name, *operands = number.made
    shown = [_shown(each, depth - 1) for each in operands]
    if name in CASTS:
        return shown[0]
    if name not in ARITHMETIC:
        return f"{name}({', '.join(shown)})"
    pairs = zip(operands, shown, strict=True)
    shown = [f"({text})" if _is_compound(each) and text != "..." else text for each, text in pairs]
    return f" {ARITHMETIC[name][0]} ".join(shown)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _is_compound(value: Any) -> bool:
    return isinstance(value, Size) and bool(value.made) and value.made[0] in ARITHMETIC


def _short(size: Size) -> Any:
    """A whole number as its form says it, so that long computations stay short: 80 times `- 1` is
    `- 80`."""
    found = _written(size.form)
    return size if found is None else found


@functools.lru_cache(maxsize=4096)
def _written(form: Form) -> Any:
    """A number of this form, or None where that is not made of whole ones alone."""
    if (number := value_of(form)) is not None:
        return number
    total: Any = None
    terms = [(_product(monomial), int(times), monomial == ONE) for monomial, times in form]
    if any(part is None for part, _, _ in terms):
        return None
    for part, times, is_known in sorted(terms, key=lambda t: (t[1] < 0, t[2], repr(t[0]))):
        size = abs(times) if is_known else part
        if not is_known and abs(times) != 1:
            size = _made("mul", (abs(times), part))
        if total is not None:
            total = _made("add" if times > 0 else "sub", (total, size))
        else:
            total = size if times > 0 else -size if is_known else _made("neg", (size,))
    return total


def _product(monomial: Monomial) -> Any:
    """The product of atoms, or None where one may fail."""
    factors = [_factor(which) for which, power in monomial for _ in range(power)]
    if any(factor is None for factor in factors):
        return None
    factors.sort(key=repr)
    return functools.reduce(lambda a, b: _made("mul", (a, b)), factors) if factors else 1


def _factor(which: Atom) -> Any:
    kind, *rest = which
    if kind == "size":
        return Size(rest[0], (), rest[1])
    if kind != "floordiv" or not value_of(rest[1]):
        return None
    inner = _written(rest[0])
    return None if inner is None else _made("floordiv", (inner, value_of(rest[1])))


def _arithmetic(name: str, back: bool) -> Any:
    def method(self: Size, other: Any, *rest: Any) -> Any:
        if isinstance(other, complex):
            refuse(f"{self} with {other}")
        if rest or not _is_number(other):
            return NotImplemented
        return made(name, other, self) if back else made(name, self, other)

    return method


def _function(name: str) -> Any:
    def method(self: Size, *others: Any) -> Any:
        return made(name, self, *others)

    return method


def _compared(symbol: str, function: Callable[[Any, Any], bool]) -> Any:
    def method(self: Size, other: Any) -> Any:
        return _decided(self, symbol, function, other) if _is_number(other) else NotImplemented

    return method


def _decided(a: Size, symbol: str, function: Callable[[Any, Any], bool], b: Any) -> bool:
    """How numbers compare, where that is so for any sizes. Code of ambos, which compares sizes to
    find what fits, takes them for large; what may be equal, as it is for large ones, is so where it
    is checked again once the sizes are known, and elsewhere is not."""
    form = _form(b)
    if a.form == form:
        return function(0, 0)
    if isinstance(a, int) and isinstance(b, int):
        answers = {function(sign, 0) for sign in signs(a.form, form)}
        if len(answers) == 1:
            return answers.pop()
    large = list(zip(a.values, _values(b), strict=True))[: len(LARGE)]
    found = {function(*pair) for pair in large}
    asks = sys._getframe(2)
    if is_inside(asks) and isinstance(a, int):
        are_near = [x == y for x, y in large]
        if len(found) == 1 and (not any(are_near) or (_checks(asks) and _is_open(a, b))):
            return found.pop()
        if symbol in ("==", "!=") and _may_be_one(a, b):
            return symbol == "!="
    refuse(f"{a} {symbol} {b}", SAME if isinstance(b, Size) else "")


def _checks(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(CHECKS)


def _is_open(a: Size, b: Any) -> bool:
    """May these be equal, or not? Lengths of two inputs are lengths of their own."""
    return not isinstance(b, Size) or _may_be_one(a, b)


def _may_be_one(a: Size, b: Any) -> bool:
    parts = (*a.parts, *_parts(b))
    is_drawn = any(part.name == DRAWN for part in parts)
    return is_drawn or a.made[:1] in EXTREMES or len(set(parts)) < len(parts)


def _number(name: str) -> Any:
    def method(self: Size) -> NoReturn:
        refuse(f"{name}({self})")

    return method


def _fill() -> None:
    for name in ARITHMETIC:
        setattr(Size, f"__{name}__", _arithmetic(name, False))
        setattr(Size, f"__r{name}__", _arithmetic(name, True))
    for name in FUNCTIONS:
        setattr(Size, f"__{name}__", _function(name))
    for name, (symbol, function) in COMPARISONS.items():
        setattr(Size, f"__{name}__", _compared(symbol, function))
    for name in ("int", "float", "complex", "index"):
        setattr(Size, f"__{name}__", _number(name))


_fill()
