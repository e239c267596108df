"""Drawings of models: what is a box, what an edge, and that nothing lies on anything else."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import nn
from ambos.core.errors import ArgumentError, ShapeError
from ambos.train.summary import recorded
from ambos.viz.flow import Flow, flow_of
from ambos.viz.layers import layered
from ambos.viz.plot import plot_model


class Block(nn.Module):
    """Two residual sums, one around a container."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.attend = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.feed = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))

    def forward(self, x: Any) -> Any:
        h = self.norm(x)
        x = x + self.attend(h, h, h)[0]
        return F.gelu(x + self.feed(x))


class Siamese(nn.Module):
    """Shared layers on two inputs, two outputs, and a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.off = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), nn.Dropout()
        self.scale = nn.Parameter(am.ones(4))

    def forward(self, left: Any, right: Any) -> Any:
        a, b = self.body(left) * self.scale, self.off(self.body(right))
        return am.cat([a, b], 1), b


def edges(flow: Flow) -> list[str]:
    def name(box: Any) -> str:
        return box.path if box.kind == "module" else box.title

    return [f"{name(a)} -> {name(b)}" for a, b in flow.edges]


def flow(model: Any, example: Any, depth: int | None = None) -> Flow:
    return flow_of(recorded("plot_model", model, example)[0], depth)


def test_residual_connections_go_around() -> None:
    found = flow(Block(), (5, 8))
    assert sorted(edges(found)) == sorted([
        "x -> norm", "x -> add", "norm -> attend", "attend -> add", "add -> feed.0",
        "add -> add · gelu", "feed.0 -> feed.1", "feed.1 -> feed.2",
        "feed.2 -> feed.3", "feed.3 -> add · gelu",
        "add · gelu -> output",
    ])  # fmt: skip
    folded = flow(Block(), (5, 8), depth=1)
    assert "add -> feed" in edges(folded)
    assert not any("feed." in edge for edge in edges(folded))


def test_every_call_is_a_box_and_parameters_are_none() -> None:
    found = flow(Siamese(), [(3,), (3,)])
    assert sorted(edges(found)) == sorted([
        "left -> body.0", "body.0 -> body.1", "body.1 -> multiply", "multiply -> concat",
        "right -> body.0", "body.0 -> body.1", "body.1 -> off", "off -> concat",
        "concat -> output 0", "off -> output 1",
    ])  # fmt: skip
    assert [box.shapes for box in found.boxes if box.title == "concat"] == [[(2, 8)]]


def test_what_depends_on_no_input_is_drawn_where_a_module_returns_it() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(9, 4), nn.Embedding(5, 4)

        def forward(self, x: Any) -> Any:
            return self.words(x) + self.places(am.arange(5))

    assert sorted(edges(flow(Positions(), (5,)))) == [
        "add -> output", "places -> add", "words -> add", "x -> words",
    ]  # fmt: skip


def test_outputs_are_named_as_they_are_returned() -> None:
    num, cat = am.Input((4,), name="num"), am.Input((3,), name="cat")
    both = am.concatenate([nn.Linear(4, 8)(num).relu(), nn.Linear(3, 8)(cat)], 1)
    surv, cost = nn.Linear(16, 1)(both), nn.Linear(16, 2)(both)
    named = am.Model([num, cat], {"surv": surv, "cost": cost})
    listed = am.Model([num, cat], [surv, cost])
    for model, expected in ((named, "surv cost"), (listed, "linear_2 linear_3")):
        found = flow_of(recorded("plot_model", model, [(4,), (3,)])[0])
        titles = {box.title: box.shapes for box in found.boxes if box.kind == "output"}
        assert titles == dict(zip(expected.split(), ([(2, 1)], [(2, 2)]), strict=True))

    class Nested(nn.Linear):
        def forward(self, input: Any) -> Any:
            made = super().forward(input)
            return {"a": made, "b": {"c": [made + 1, made + 2]}}

    titles = [box.title for box in flow(Nested(2, 2), (2,)).boxes if box.kind == "output"]
    assert sorted(titles) == ["a", "b.c.0", "b.c.1"]


@pytest.mark.parametrize("seed", range(5))
def test_boxes_do_not_touch_and_edges_lead_down(seed: int) -> None:
    dice = random.Random(seed)
    count = 30
    sizes = [(dice.uniform(20, 150), dice.uniform(20, 60)) for _ in range(count)]
    pairs = sorted({tuple(sorted(dice.sample(range(count), 2))) for _ in range(45)})
    found = layered(sizes, pairs)
    frames = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2)
              for (x, y), (w, h) in zip(found.centres, sizes, strict=True)]  # fmt: skip
    for n, a in enumerate(frames):
        assert a[0] >= -1e-6
        assert a[2] <= found.width + 1e-6
        for b in frames[n + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for (a, b), route in zip(pairs, found.routes, strict=True):
        assert found.centres[a][1] < found.centres[b][1]
        assert [y for _, y in route] == sorted(y for _, y in route)
        for x, y in route[1:-1]:
            assert not any(f[0] < x < f[2] and f[1] < y < f[3] for f in frames)
    assert layered(sizes, pairs) == found


def test_a_chain_is_a_straight_line_and_a_cycle_is_drawn() -> None:
    chain = layered([(50, 20), (90, 20), (20, 20), (60, 20)], [(0, 1), (1, 2), (2, 3), (0, 3)])
    assert len({round(x, 3) for x, _ in chain.centres}) == 1
    assert len({round(x, 3) for x, _ in chain.routes[3][1:-1]}) == 1
    assert len(layered([(9, 9)] * 3, [(0, 1), (1, 2), (2, 0)]).routes) == 3
    assert layered([], []).centres == []


def test_the_file_is_svg(tmp_path: Path) -> None:
    class Sharp(nn.Linear):
        """<&> has to be escaped."""

    Sharp.__name__ = "Sharp<&>"
    model = am.Model(nn.Sequential(Sharp(4, 3), nn.ReLU()))
    drawing = plot_model(model, (4,), tmp_path / "model.svg", show_parameters=True)
    text = (tmp_path / "model.svg").read_text()
    assert text == drawing._repr_svg_()
    root = ElementTree.fromstring(text)
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words == [
        "input", "(N, 4)", "Sharp<&>", "0", "(N, 3)", "15 parameters", "ReLU", "1", "(N, 3)",
        "output", "(N, 3)",
    ]  # fmt: skip
    assert "f-linear" in text  # a subclass has its layer's colour
    across = plot_model(model, (4,), None, rankdir="LR").svg
    sizes = [ElementTree.fromstring(svg).attrib for svg in (text, across)]
    assert int(sizes[0]["height"]) > int(sizes[0]["width"])
    assert int(sizes[1]["height"]) < int(sizes[1]["width"])


def test_mistakes(tmp_path: Path) -> None:
    net = nn.Linear(3, 2)
    for arguments, message in (
        ({"rankdir": "up"}, "rankdir"), ({"to_file": "model.png"}, r"\.svg"),
        ({"depth": 0}, "depth"), ({"input": None}, "no input"), ({"model": 3}, "got int"),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match=message):
            plot_model(**{"model": net, "input": (3,), "to_file": None} | arguments)
    with pytest.raises(ShapeError, match="4 features"):
        plot_model(net, (4,), tmp_path / "model.svg")
    assert not [*tmp_path.iterdir()]
