"""Numbers left open."""

import math
import struct
from threading import Thread

import numpy as np
import pytest

from ambos.core.open import Open, Sheet, Shut, computed, converted, filled, is_finite, listed, shown


def test_what_is_computed_is_computed_again() -> None:
    sheet = Sheet()
    n, m = sheet.number(7), sheet.number(3)
    found = [n + 1, 2 - n, n * m, -n, n // m, 20 // n, n % m, abs(m - n), n / 2, *divmod(n, 2)]
    found += [math.prod((n, m, 2)), sum([n, m]), (n > 2) + n]

    def expected(n: int, m: int) -> list[float]:
        return [n + 1, 2 - n, n * m, -n, n // m, 20 // n, n % m, abs(m - n), n / 2, *divmod(n, 2),
                n * m * 2, n + m, 1 + n]  # fmt: skip

    for numbers in ((7, 3), (9, 4), (100, 99)):
        slots = sheet.at(numbers)
        assert slots is not None
        assert [filled(each, slots) for each in found] == expected(*numbers)


@pytest.mark.parametrize(
    "decide",
    [
        lambda n: n < 10, lambda n: n != 8, lambda n: n % 2 == 1, lambda n: bool(n - 8),
        lambda n: max(n, 10) == 10, lambda n: n in (7, 9), lambda n: {7: True}.get(n),
        lambda n: (n, 0) == (7, 0), lambda n: sorted([10, n])[0] is n, lambda n: n < 8,
    ],
)  # fmt: skip
def test_other_numbers_decide_the_same_or_there_is_no_result(decide) -> None:
    sheet = Sheet()
    outcome = decide(sheet.number(7))
    for number in range(1, 13):
        if sheet.at([number]) is not None:
            assert decide(number) == outcome
    assert sheet.at([7]) is not None


def test_a_decision_is_one_though_it_was_computed_before() -> None:
    sheet = Sheet()
    n = sheet.number(7)
    computed(is_small)(n)
    assert sheet.at([11]) is not None
    assert is_small(n)
    assert sheet.at([11]) is None


def is_small(n: int) -> bool:
    return n < 10


@pytest.mark.parametrize(
    "ask",
    [
        range, repr, str, int, float, hex, round, math.isfinite, lambda n: "ab"[n], lambda n: 2**n,
        lambda n: f"{n}", lambda n: [0] * n, lambda n: n << 1, lambda n: n.bit_length(),
        bytes, math.sqrt, lambda n: ~n, np.asarray, np.zeros, np.sqrt, lambda n: np.arange(3) * n,
        lambda n: np.float32(2) * n, lambda n: struct.pack("q", n),
    ],
)  # fmt: skip
def test_what_wants_the_value_is_told_that_it_is_open(ask) -> None:
    with pytest.raises(Shut):
        ask(Sheet().number(7))


def test_it_is_a_number_to_isinstance_and_to_no_other() -> None:
    one, other = Sheet(), Sheet()
    n = one.number(7)
    assert isinstance(n, int)
    assert isinstance(n / 2, float)
    assert type(n) is Open
    assert n != other.number(7)
    assert {n: 1}.get(other.number(7)) is None
    seen = []
    thread = Thread(target=lambda: seen.append(n == 7))
    thread.start()
    thread.join()
    assert seen == [False]
    one.close()
    assert n != 7
    with pytest.raises(Shut):
        n + 1
    with pytest.raises(Shut):
        assert n < 8


def test_functions_of_numbers_are_one_line() -> None:
    def halves(n: int) -> tuple[int, int]:
        return (n // 2, n - n // 2) if n > 4 else (0, n)

    sheet = Sheet()
    first, second = computed(halves)(sheet.number(7))
    for number in (3, 9):
        slots = sheet.at([number])
        assert slots is not None
        assert (filled(first, slots), filled(second, slots)) == halves(number)
    assert computed(halves)(7) == (3, 4)


def test_texts_are_filled_in() -> None:
    sheet = Sheet()
    n = sheet.number(7)
    text = f"sum {listed((n, 3))} of {shown(n * 2)}"
    slots = sheet.at([11])
    assert slots is not None
    assert filled(text, slots) == "sum [11, 3] of 22"
    assert listed((1, 2.5)) == "[1, 2.5]"


def test_conversions() -> None:
    sheet = Sheet()
    n = converted(float, sheet.number(7))
    slots = sheet.at([9])
    assert slots is not None
    assert repr(filled(n, slots)) == "9.0"
    assert is_finite(sheet.number(2.5))
    assert not is_finite(sheet.number(math.inf))
    assert not is_finite(math.nan)
    assert converted(int, 2.0) == 2
