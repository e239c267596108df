"""Gradients in jitted functions: read, set, cleared and added to as without jit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ambos as am
from ambos import optim

from .recordings import listed, plain, twice


def test_a_cleared_gradient_is_not_added_to() -> None:
    def play(wrapper: Callable[..., Any]) -> Any:
        w = am.ones(1, requires_grad=True)
        (w * 2).sum().backward()

        @wrapper
        def step(x: am.Tensor) -> None:
            w.grad = None
            (w * x).sum().backward()

        rows = []
        for value, clear in ((3.0, False), (4.0, True), (5.0, False)):
            if clear:
                w.grad = None
            step(am.tensor([value]))
            rows.append(listed(w.grad))
        return rows

    assert twice(play) == [[3.0], [4.0], [5.0]]


def test_clearing_alone_is_recorded() -> None:
    u = am.ones(1, requires_grad=True)

    @am.jit
    def clear() -> None:
        u.grad = None

    for _ in range(3):
        clear()
        assert u.grad is None
        u.grad = am.ones(1)


def test_gradients_of_arguments_go_to_the_arguments() -> None:
    p, q = am.ones(1, requires_grad=True), am.tensor([2.0], requires_grad=True)

    @am.jit
    def step(x: am.Tensor) -> None:
        x.grad = None
        (x * x).sum().backward()

    for _ in range(2):
        for x, expected in ((p, [2.0]), (q, [4.0])):
            step(x)
            assert listed(x.grad) == expected


@pytest.mark.parametrize("size", [2, 100_000])
def test_a_gradient_that_is_an_input_is_the_old_one(size: int) -> None:
    z, v = am.ones(size, requires_grad=True), am.tensor(np.full(size, 5.0, np.float32))

    @am.jit
    def step() -> None:
        z.grad = None
        (z * v).sum().backward()
        v.add_(1.0)

    for value in (5.0, 6.0, 7.0):
        step()
        assert z.grad is not None
        assert set(z.grad.tolist()) == {value}


def test_accumulation_is_recorded_once_and_in_place() -> None:
    w, runs = am.ones(1000, requires_grad=True), []

    @am.jit
    def add(x: am.Tensor) -> None:
        runs.append(1)
        (w * x).sum().backward()

    for _ in range(4):
        w.grad = None
        addresses = set()
        for number in range(4):
            add(am.tensor([2.0]))
            assert w.grad is not None
            assert w.grad[7].item() == 2.0 * (number + 1)
            if number:
                addresses.add(w.grad._node.value.address)
        assert len(addresses) <= 2
    assert len(runs) <= 4  # without a gradient and with one; a second time where others hold x


def test_a_gradient_that_somebody_holds_keeps_its_values() -> None:
    def play(wrapper: Callable[..., Any]) -> Any:
        w = am.ones(2, requires_grad=True)

        @wrapper
        def add(x: am.Tensor) -> None:
            (w * x).sum().backward()

        held = []
        for _ in range(4):
            add(am.tensor([1.0, 2.0]))
            held.append(w.grad)
        return [listed(grad) for grad in held]

    assert twice(play)[0] == [1.0, 2.0]


def test_a_gradient_from_outside_changed_in_place() -> None:
    def play(wrapper: Callable[..., Any], hold: bool) -> Any:
        w, kept = am.ones(2, requires_grad=True), []

        @wrapper
        def halve() -> None:
            with am.no_grad():
                assert w.grad is not None
                w.grad.mul_(0.5)

        rows = []
        for value in (1.0, 2.0, 3.0):
            w.grad = am.tensor([value, 8.0])
            if hold:
                kept.append(w.grad)
            halve()
            halve()
            rows.append([listed(w.grad), *map(listed, kept)])
        return rows

    for hold in (False, True):
        assert play(am.jit, hold) == play(plain, hold)


def test_a_gradient_that_shares_its_values_with_a_tensor() -> None:
    def play(wrapper: Callable[..., Any]) -> Any:
        w, v = am.ones(2, requires_grad=True), am.tensor([1.0, 2.0])
        w.grad = v.detach()

        @wrapper
        def step(x: am.Tensor) -> am.Tensor:
            w.grad = None
            return x * v

        @wrapper
        def both(x: am.Tensor) -> am.Tensor:
            assert w.grad is not None
            return x * v + w.grad

        rows = [both(am.ones(2)).tolist(), step(am.ones(2)).tolist()]
        w.grad = am.tensor([7.0, 8.0])
        rows += [both(am.ones(2)).tolist(), step(am.ones(2)).tolist()]
        return rows

    twice(play)


def test_looking_whether_there_is_a_gradient() -> None:
    def play(wrapper: Callable[..., Any]) -> Any:
        w = am.ones(1, requires_grad=True)
        other = am.ones(1, requires_grad=True)

        @wrapper
        def f(x: am.Tensor) -> Any:
            return (x if w.grad is None else x * 2), w.grad

        rows = []
        for grad in (None, am.tensor([3.0]), None, am.tensor([4.0])):
            w.grad, other.grad = grad, am.ones(1)
            x, found = f(am.ones(1))
            rows.append((listed(x), listed(found)))
        return rows

    assert twice(play)[0] == ([1.0], None)


def test_gradients_of_others_do_not_matter() -> None:
    w, other, runs = am.ones(1, requires_grad=True), am.ones(1, requires_grad=True), []

    @am.jit
    def add(x: am.Tensor) -> None:
        runs.append(1)
        (w * x).sum().backward()

    add(am.ones(1))
    w.grad, other.grad = None, am.ones(1)
    add(am.ones(1))
    assert len(runs) == 1


def test_an_optimizer_alone_uses_the_gradients_that_are_there() -> None:
    def play(wrapper: Callable[..., Any]) -> Any:
        w = am.tensor([1.0, 2.0], requires_grad=True)
        optimizer = optim.SGD([w], lr=0.5)
        update = wrapper(lambda: optimizer.step())
        rows = []
        for value in (1.0, 2.0, 3.0):
            optimizer.zero_grad()
            (w * value).sum().backward()
            update()
            rows.append((w.tolist(), listed(w.grad)))
        return rows

    twice(play)
