"""Sizes that depend on values: found eagerly, refused with a fix where a graph is recorded."""

import pytest

import ambos as am
import ambos.nn.functional as F
from ambos.core.errors import TracingError

X = am.tensor([3, 1, 0, 3])
MASK = X > 0

DEPENDENT = {
    "nonzero": (lambda: am.nonzero(X), "am.nonzero_static"),
    "x.nonzero()": (lambda: X.nonzero(), "am.nonzero_static"),
    "argwhere": (lambda: am.argwhere(X), "am.nonzero_static"),
    "where": (lambda: am.where(MASK), "am.where"),
    "x[mask]": (lambda: X[MASK], "am.where"),
    "x[:, mask]": (lambda: X[None][:, MASK], "am.where"),
    "masked_select": (lambda: am.masked_select(X, MASK), "am.where"),
    "unique": (lambda: am.unique(X), "am.sort"),
    "unique_all": (lambda: am.unique_all(X), "am.sort"),
    "unique_consecutive": (lambda: am.unique_consecutive(X), "am.sort"),
    "unique_counts": (lambda: am.unique_counts(X), "am.sort"),
    "unique_inverse": (lambda: am.unique_inverse(X), "am.sort"),
    "unique_values": (lambda: am.unique_values(X), "am.sort"),
    "repeat": (lambda: am.repeat(X, X), "output_size="),
    "bincount": (lambda: am.bincount(X), "minlength="),
    "segment_sum": (lambda: am.segment_sum(X, X), "num_segments="),
    "one_hot": (lambda: F.one_hot(X), "num_classes="),
    "tensor_split": (lambda: am.tensor_split(X, am.tensor([1, 2])), "list of integers"),
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_refused_with_a_fix_under_jit(name):
    function, fix = DEPENDENT[name]
    function()  # eagerly it works
    with pytest.raises(TracingError, match=r"depends on values.*\[test_sizes.py:\d+\]") as caught:
        am.jit(function)()
    assert fix in str(caught.value)
    function()  # and nothing is left behind


def test_what_the_fixes_say_works_under_jit():
    fixes = {
        "nonzero": lambda x: am.nonzero_static(x, size=3),
        "where": lambda x: am.where(x > 0, x, 0),
        "repeat": lambda x: am.repeat(x, x, output_size=7),
        "bincount": lambda x: am.bincount(x, minlength=4),
        "one_hot": lambda x: F.one_hot(x, 4),
        "tensor_split": lambda x: am.tensor_split(x, [1, 2]),
        "assignment": lambda x: _zeroed(x),
    }
    for function in fixes.values():
        assert am.tree.leaves(am.jit(function)(X))[0].numel() >= 1
    assert am.jit(fixes["bincount"])(X).tolist() == am.bincount(X).tolist()
    assert am.jit(fixes["assignment"])(X).tolist() == [0, 0, 0, 0]


def _zeroed(x):
    y = x.clone()
    y[y > 0] = 0  # a mask of the whole shape selects, it does not count
    return y
