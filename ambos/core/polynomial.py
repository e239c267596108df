"""Normal forms of numbers made of unknown sizes: equal forms are equal numbers for any sizes.

A form is a polynomial, {monomial: coefficient}, over atoms: sizes that are given, whole quotients
by a number, and what no rule is known for, by name and operands. Whole numbers are computed with as
such; of real ones only what is exact is: halves and doubles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

Atom = tuple[Any, ...]
Monomial = frozenset[tuple[Atom, int]]  # atoms and their powers
Form = frozenset[tuple[Monomial, Fraction]]
Terms = dict[Monomial, Fraction]

ONE: Monomial = frozenset()
MANY = 64  # terms: beyond that a product is an atom
ROUNDINGS = ("pos", "floor", "ceil", "trunc", "round", "as_int")  # of whole numbers: nothing


def constant(number: Any) -> Form:
    """The form of a number.

    Example:
        >>> value_of(constant(3)), value_of(constant(0.5))
        (3, 0.5)
    """
    if not math.isfinite(number):
        return atom(("number", repr(number)))
    return _form({ONE: Fraction(number)})


def atom(which: Atom) -> Form:
    """The form of what is not made of anything else."""
    return _form({frozenset([(which, 1)]): Fraction(1)})


def value_of(form: Form) -> int | float | None:
    """The number that a form is, if it is one."""
    terms = dict(form)
    number = terms.pop(ONE, Fraction(0))
    if terms:
        return None
    return int(number) if number.denominator == 1 else float(number)


def form_of(name: str, forms: tuple[Form, ...], are_whole: bool) -> Form:
    """The form of what an operation of `core/unknown.py` makes of numbers of these forms.

    Example:
        >>> n = atom(("size", "N"))
        >>> twice = form_of("add", (n, n), True)
        >>> form_of("floordiv", (twice, constant(2)), True) == n
        True
    """
    found = _whole(name, forms) if are_whole else _real(name, forms)
    return atom((name, *forms)) if found is None or len(found) > MANY else found


def _whole(name: str, forms: tuple[Form, ...]) -> Form | None:
    first, last = forms[0], forms[-1]
    if name in ("add", "sub"):
        return _sum(first, last, 1 if name == "add" else -1)
    if name == "neg":
        return _negative(first)
    if name == "mul" and len(first) * len(last) <= MANY:
        return _product(first, last)
    if (name in ROUNDINGS and len(forms) == 1) or name == "as_float":
        return first
    if name in ("max", "min"):
        return _extreme(name, forms)
    by = value_of(last)
    if name in ("floordiv", "mod") and by is None:
        whole = _divided(first, last)
        return None if whole is None else whole if name == "floordiv" else constant(0)
    if not isinstance(by, int) or len(forms) != 2:
        return None
    if name == "rshift" and 0 <= by < 64:
        return _quotient(first, 1 << by)
    if name == "floordiv" and by:
        return _quotient(first, by)
    if name == "mod" and by:
        return _sum(first, _scaled(_quotient(first, by), Fraction(by)), -1)
    return _real(name, forms)


def _real(name: str, forms: tuple[Form, ...]) -> Form | None:
    """Halves and doubles are exact, and sums of such of sizes."""
    first, last = forms[0], forms[-1]
    if name in ("add", "sub") and _is_exact(first) and _is_exact(last):
        return _sum(first, last, 1 if name == "add" else -1)
    if name in ROUNDINGS and len(forms) == 1 and _is_exact(first, 1):
        return first
    if name == "truediv" and (by := value_of(forms[1])) and _is_power_of_two(by):
        return _scaled(forms[0], 1 / Fraction(by))
    if name == "mul":
        for form, other in (forms, forms[::-1]):
            if (by := value_of(other)) and _is_power_of_two(by):
                return _scaled(form, Fraction(by))
    return None


def _is_exact(form: Form, parts: int = 1024) -> bool:
    """Are these so many parts of sizes, few enough for a float to hold what they come to?"""
    atoms = (which for monomial, _ in form for which, _ in monomial)
    return all(parts % each.denominator == 0 and abs(each) < 1 << 20 for _, each in form) and all(
        which[0] in ("size", "floordiv") for which in atoms
    )


def _is_power_of_two(number: float) -> bool:
    return math.frexp(abs(number))[0] == 0.5 and 2**-30 < abs(number) < 2**30


def _quotient(form: Form, by: int) -> Form:
    """What divides goes out of the brackets, and the rest has a positive leading coefficient."""
    if by < 0:
        return _quotient(_negative(form), -by)
    outside, inside = Terms(), Terms()
    for monomial, each in form:
        times, rest = divmod(int(each), by)
        if monomial and 2 * rest > by:
            times, rest = times + 1, rest - by
        outside[monomial], inside[monomial] = Fraction(times), Fraction(rest)
    leading = [monomial for monomial, each in inside.items() if monomial and each]
    if not leading:
        return _form(outside)
    if inside[max(leading, key=hash)] > 0:
        return _sum(_form(outside), atom(("floordiv", _form(inside), constant(by))), 1)
    up = _sum(_negative(_form(inside)), constant(by - 1), 1)  # -x // k is -ceil(x / k)
    return _sum(_form(outside), _quotient(up, by), -1)


def _divided(form: Form, by: Form) -> Form | None:
    """The quotient of polynomials, where nothing is left."""
    atoms = sorted({which for m, _ in form | by for which, _ in m}, key=hash)

    def order(term: tuple[Monomial, Fraction]) -> list[int]:
        powers = dict(term[0])
        return [powers.get(which, 0) for which in atoms]

    leading, its = max(by, key=order)
    quotient: Form = frozenset()
    while form and len(quotient) <= MANY:
        monomial, mine = max(form, key=order)
        powers, times = dict(monomial), mine / its
        for which, power in leading:
            powers[which] = powers.get(which, 0) - power
        if min(powers.values(), default=0) < 0 or times.denominator != 1:
            return None
        term = _form({frozenset((w, p) for w, p in powers.items() if p): times})
        quotient, form = _sum(quotient, term, 1), _sum(form, _product(term, by), -1)
    return None if form else quotient


def _extreme(name: str, forms: tuple[Form, ...]) -> Form:
    """The largest or smallest of forms, and of those of which they are that; what another one is in
    place of, for any sizes, goes."""
    given: dict[Form, None] = {}
    for form in forms:
        inner = _only(form)
        given |= dict.fromkeys(inner[1:] if inner and inner[0] == name else [form])
    kept = [*given]
    for form in given:
        others = [_sum(other, form, -1) for other in kept if other != form]
        if any(is_size(_lowest(each if name == "max" else _negative(each))) for each in others):
            kept.remove(form)
    return kept[0] if len(kept) == 1 else atom((name, *sorted(kept, key=hash)))


def _only(form: Form) -> Atom | None:
    """The atom that this is and nothing else."""
    ((monomial, times), *more) = form or ((ONE, 0),)
    ((which, power), *others) = monomial or ((None, 0),)
    return which if power == times == 1 and not more and not others else None


def signs(a: Form, b: Form) -> list[int]:
    """Those that a - b, of whole numbers, may have, as far as can be told.

    Example:
        >>> n = atom(("size", "N"))
        >>> signs(n, form_of("floordiv", (n, constant(2)), True))
        [0, 1]
    """
    apart = _sum(a, b, -1)
    above, below = _lowest(apart), _lowest(_negative(apart))
    is_apart = any(is_size(_sum(form, constant(1), -1)) for form in (above, below))
    excluded = {-1: is_size(above), 0: is_apart, 1: is_size(below)}
    return [sign for sign, is_none in excluded.items() if not is_none]


def _lowest(form: Form) -> Form:
    """What is not above it, without quotients: x // k lies from (x - k + 1) / k to x / k."""
    total: Form = frozenset()
    for monomial, each in form:
        term = _form({monomial: each})
        ((which, power), *more) = monomial or ((("number",), 0),)
        if which[0] == "floordiv" and power == 1 and not more and (by := value_of(which[2])):
            rounded = constant(by - 1 if each > 0 else 0)
            term = _scaled(_sum(which[1], rounded, -1), each / Fraction(by))
        total = _sum(total, term, 1)
    return total


def is_divisor(form: Form) -> bool:
    """Is it nothing for no sizes: a number that is not, or a product of sizes of axes?"""
    return len(form) == 1 and all(which[0] == "size" for m, _ in form for which, _ in m)


def is_size(form: Form) -> bool:
    """Is it never negative, being a sum of what is not?"""
    return all(each > 0 and all(_is_size(which) for which, _ in m) for m, each in form)


def _is_size(which: Atom) -> bool:
    kind, *forms = which
    if kind == "max":
        return any(map(is_size, forms))
    return kind == "size" or (kind in ("floordiv", "min") and all(map(is_size, forms)))


def _sum(a: Form, b: Form, sign: int) -> Form:
    terms = dict(a)
    for monomial, each in b:
        terms[monomial] = terms.get(monomial, Fraction(0)) + sign * each
    return _form(terms)


def _scaled(form: Form, by: Fraction) -> Form:
    return _form({monomial: each * by for monomial, each in form})


def _negative(form: Form) -> Form:
    return _scaled(form, Fraction(-1))


def _product(a: Form, b: Form) -> Form:
    terms = Terms()
    for one, mine in a:
        for other, its in b:
            powers = dict(one)
            for which, power in other:
                powers[which] = powers.get(which, 0) + power
            monomial = frozenset(powers.items())
            terms[monomial] = terms.get(monomial, Fraction(0)) + mine * its
    return _form(terms)


def _form(terms: Mapping[Monomial, Fraction]) -> Form:
    return frozenset((monomial, each) for monomial, each in terms.items() if each)
