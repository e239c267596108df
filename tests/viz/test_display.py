"""What notebooks show, through IPython's own formatter, and what `plot` draws."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError
from ambos.train.callbacks.history import History
from ambos.train.charts import nice_ticks


class Parts(HTMLParser):
    """The text of a page and its tags; what is opened has to be closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)


def shown(value: Any) -> dict[str, str]:
    formatters = pytest.importorskip("IPython.core.formatters")
    return formatters.DisplayFormatter().format(value)[0]


def test_a_tensor_is_a_table() -> None:
    page = Parts(shown(am.arange(12.0).reshape(3, 4))["text/html"])
    assert "".join(page.text).startswith(
        "Tensor float32 · shape (3, 4) · min 0 · mean 5.5 · max 11012"
    )
    assert (page.tags.count("tr"), page.tags.count("td")) == (3, 12)
    large = Parts(am.zeros(2, 3, 50, 60)._repr_html_())
    assert (large.tags.count("tr"), large.tags.count("td")) == (9, 81)
    assert "[0, 0, :, :]" in large.text
    odd = "".join(Parts(am.tensor([1.0, float("nan"), 3.0])._repr_html_()).text)
    assert "min 1 · mean 2 · max 3 · 1 not finite" in odd
    for value in (am.tensor(True), am.zeros(0, 3), am.tensor([1 + 2j]), am.ones(2).to("bfloat16")):
        Parts(value._repr_html_())
    assert "requires grad" in am.ones(2, requires_grad=True)._repr_html_()


def test_a_large_pending_graph_stays_pending() -> None:
    x = am.ones(3)
    x.numpy()
    for step in range(1500):
        x = x * 1.5 if step % 2 else x + 1.0
    found = shown(x)
    assert "not computed yet: " in found["text/html"]
    assert "not computed yet: " in found["text/plain"]
    assert x._node.value is None
    small = am.ones(3) + 1
    assert "2</td>" in shown(small)["text/html"]
    assert shown(small)["text/plain"] == repr(small)


def test_what_has_no_value_is_not_looked_at() -> None:
    seen: list[dict[str, str]] = []

    @am.jit
    def traced(x: Any) -> Any:
        seen.extend([x._repr_mimebundle_(), (x + 1)._repr_mimebundle_()])
        return x + 1

    traced(am.ones(3))
    assert len(seen) == 2
    for found in seen:
        assert "not looked at while a function is recorded" in found["text/html"]
        assert "not looked at while a function is recorded" in found["text/plain"]
    symbol = shown(am.Input((3,), name="x") * 2)
    assert "a stand-in without a value" in symbol["text/html"]
    assert "a stand-in without a value" in symbol["text/plain"]
    assert shown(nn.LazyLinear(3).weight)["text/html"] == "UninitializedParameter()"


def test_a_module_is_a_tree() -> None:
    class Odd(nn.Module):
        def extra_repr(self) -> str:
            return "<script>"

    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(Odd(), nn.LazyLinear(2)))
    net[0].bias.requires_grad = False
    found = shown(am.Model(net))
    text = "".join(Parts(found["text/html"]).text)
    assert "<script>" not in found["text/html"]
    assert "<script>" in text
    assert "0 Linear in_features=3, out_features=4, bias=True 16 parameters, 4 frozen" in text
    assert "weight (4, 3)bias (4,) frozen" in text
    assert "weight of no size yet" in text
    assert Parts(found["text/html"]).tags.count("details") == 4
    assert "some without sizes" in text


def history() -> History:
    found = History()
    for epoch in range(4):
        found.add(epoch, {"loss": 1 / (epoch + 1), "a<b": 0.5, "val_loss": float("nan") if
                          epoch == 1 else 2 / (epoch + 1), "matrix": np.eye(2)})  # fmt: skip
    return found


def test_a_history_is_a_row_of_charts() -> None:
    page = shown(history())["text/html"]
    parts = Parts(page)
    assert parts.tags.count("svg") == 2
    assert parts.tags.count("circle") == 4 + 3 + 4
    for text in ("loss", "training 0.25", "validation 0.5", "a<b", "1", "4"):
        assert text in parts.text
    assert "nan" not in page
    for empty in (History(), History(history={"loss": [float("nan")]}, epoch=[0])):
        Parts(empty._repr_html_())


def test_plot_returns_matplotlibs_figure() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = history().plot()
    assert [axes.get_title() for axes in figure.axes] == ["loss", "a<b"]
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    np.testing.assert_allclose(lines["training"].get_ydata(), [1, 1 / 2, 1 / 3, 1 / 4])
    np.testing.assert_allclose(lines["validation"].get_xdata(), [1, 2, 3, 4])
    assert history().plot("loss", log=True).axes[0].get_yscale() == "log"
    with pytest.raises(ArgumentError, match=r"no 'los' in this history.*Did you mean 'loss'"):
        history().plot(["los"])
    with pytest.raises(ArgumentError, match=r"a file is plot\(\)\.savefig\('curves.svg'\)"):
        history().plot("curves.svg")
    with pytest.raises(ArgumentError, match="empty"):
        History().plot()
    pyplot.close("all")


def test_what_does_not_change_and_a_single_epoch_have_plain_axes() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = History()
    for epoch in range(3):
        found.add(epoch, {"loss": 1 / (epoch + 1), "val_loss": 1.0, "learning_rate": 3e-5})
    loss, rate = found.plot().axes
    assert loss.get_legend() is not None
    assert rate.get_legend() is None
    assert 0 <= rate.get_ylim()[0] <= 1.5e-5
    assert rate.get_ylim()[1] >= 4.5e-5
    assert repr(found) == (
        "History(3 epochs: loss 0.3333, val_loss 1.0000, learning_rate 3.000e-05)"
    )
    one = History()
    one.add(0, {"loss": 0.5, "val_loss": 0.7})
    (axes,) = one.plot().axes
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]
    pyplot.close("all")


@pytest.mark.parametrize(
    "span", [(0, 1), (0.13, 0.91), (-3e-9, 7e-9), (5, 5), (0, 0), (1e8, 1.2e9)]
)
def test_ticks_are_round_and_around(span: tuple[float, float]) -> None:
    ticks = nice_ticks(*span)
    assert ticks[0] <= span[0] <= span[1] <= ticks[-1]
    assert 3 <= len(ticks) <= 7
    steps = np.diff(ticks)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
