"""What a traced function that looks at a value is told: its line, and what to write instead."""

import pytest

import ambos as am
from ambos.core.errors import TracingError
from ambos.tensor.rewrites import rewritten


def branch(x):
    if x.sum() > 1:
        return x
    return -x


def choice(x):
    y = x if x.sum() > 1 else -x
    return y


def loop(x):
    while x.sum() < 10:
        x = x * 2
    return x


def item(x):
    return float(x.sum())


def check(x):
    assert (x > 0).all(), "positive"
    return x


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (branch, "`if x.sum() > 1:` write am.cond(x.sum() > 1, lambda: ..., lambda: ...); "),
        (choice, "`y = x if x.sum() > 1 else -x` write y = am.where(x.sum() > 1, x, -x); "),
        (loop, "write am.while_loop(lambda state: x.sum() < 10, body, state); "),
        (item, "in `return float(x.sum())`; need tensor operations: am.where(condition, a, b)"),
        (check, "write return (x > 0).all() and assert it outside; "),
    ],
)
@pytest.mark.parametrize("transform", [am.jit, am.vmap, lambda f: lambda x: am.eval_shape(f, x)])
def test_the_line_is_quoted_and_rewritten(function, says, transform):
    x = am.evaluate(am.rand(3, 4))
    with pytest.raises(TracingError) as found:
        transform(function)(x)
    assert says in str(found.value)
    assert "[test_rewrites.py:" in str(found.value)
    assert am.jit(lambda x: x + 1)(x).shape == (3, 4)  # as good as before


def test_what_is_written_instead_works():
    x = am.tensor([1.0, 2.0])
    assert am.jit(lambda x: am.cond(x.sum() > 1, lambda: x, lambda: -x))(x).tolist() == [1, 2]
    assert am.jit(lambda x: am.where(x.sum() > 9, x, -x))(x).tolist() == [-1, -2]
    doubled = am.jit(lambda x: am.while_loop(lambda x: x.sum() < 10, lambda x: x * 2, x))
    assert doubled(x).tolist() == [4, 8]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("for i in range(n):", "write am.fori_loop(0, n, lambda i, state: ..., state); need"),
        ("for i in range(2, int(n) + 1):", "write am.fori_loop(2, n + 1, lambda i, state: ...,"),
        ("y = sum(x * i for i in range(n.item()))", "write am.fori_loop(0, n, lambda i, state:"),
        ("return x[:n]", "write am.dynamic_slice_in_dim(x, start, size), with a size that is"),
    ],
)
def test_counts_and_places(line, says):
    assert rewritten(line).startswith(f"in `{line}` {says}")


def test_a_range_of_a_tensor_is_told_what_to_write():
    def doubled(x, n):
        for _ in range(n):
            x = x * 2
        return x

    with pytest.raises(TracingError, match=r"`for _ in range\(n\):` write am.fori_loop\(0, n, "):
        am.jit(doubled)(am.ones(2), am.tensor(3))


def test_without_a_source_the_rest_is_said():
    assert rewritten("").startswith("need tensor operations")
