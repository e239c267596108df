"""Functions that change the containers they are given: refused wherever they run on copies."""

from __future__ import annotations

from typing import Any

import pytest

import ambos as am
from ambos.core.errors import TracingError


def total(d: dict[str, Any]) -> am.Tensor:
    return (d["x"] ** 2).sum()


def changing(d: dict[str, Any]) -> am.Tensor:
    d["new"] = d["x"] * 2
    return total(d)


def one() -> dict[str, Any]:
    return {"x": am.tensor([1.0, 2.0])}


def many() -> dict[str, Any]:
    return {"x": am.ones(2, 3)}


CALLS = {
    "grad: argument 0": lambda: am.grad(changing)(one()),
    "jvp: primals[0]": lambda: am.jvp(changing, (one(),), (one(),)),
    "vjp: argument 0": lambda: am.vjp(changing, one()),
    "linearize: argument 0": lambda: am.linearize(changing, one()),
    "jacrev: argument 1": lambda: am.jacrev(lambda _, d: changing(d), 1)(0, one()),
    "jacfwd: argument 1": lambda: am.jacfwd(lambda _, d: changing(d), 1)(0, one()),
    "vmap: argument d": lambda: am.vmap(changing)(many()),
    "jit: argument d": lambda: am.jit(changing)(one()),
    "checkpoint: argument d": lambda: am.grad(am.checkpoint(changing))(one()),
    "scan: xs": lambda: am.scan(lambda c, x: (c, changing(x)), 0.0, many()),
    "map: xs": lambda: am.map(changing, many()),
    "cond: operands[0]": lambda: am.cond(am.tensor(True), changing, total, one()),
    "switch: operands[0]": lambda: am.switch(am.tensor(0), [changing, total], one()),
    "while_loop: carry": lambda: am.while_loop(lambda d: changing(d) < 0, lambda d: d, one()),
    "associative_scan: elems": lambda: am.associative_scan(lambda a, _: changing(a), many()),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_changed_container_is_refused(name: str) -> None:
    op, what = name.split(": ")
    with pytest.raises(TracingError) as caught:
        CALLS[name]()
    assert str(caught.value).startswith(f"{op}: the function changes {what} in place, now a dict")
    assert am.grad(total)(one())["x"].tolist() == [2, 4]


def test_a_carry_may_be_changed_and_returned() -> None:
    def step(state: dict[str, Any], x: Any = 1.0) -> tuple[dict[str, Any], None]:
        state["x"] = state["x"] + x
        return state, None

    start = one()
    assert am.scan(step, start, am.tensor([1.0, 2.0]))[0]["x"].tolist() == [4, 5]
    assert am.fori_loop(0, 2, lambda _, s: step(s)[0], start)["x"].tolist() == [3, 4]
    ends = am.while_loop(lambda s: s["x"][0] < 5, lambda s: step(s)[0], start)
    assert ends["x"].tolist() == [5, 6]
    assert start["x"].tolist() == [1, 2]
