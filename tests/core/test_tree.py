"""Trees."""

from collections import OrderedDict, defaultdict, namedtuple

import pytest

from ambos.core import tree
from ambos.core.errors import ArgumentError

Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "value",
    [1, None, [], {}, (), [1, (2, {"a": 3})], {"b": [1], "a": None}, Point(1, [2, 3]),
     OrderedDict(b=1, a=2), {1: "x", "a": 2}],
)  # fmt: skip
def test_there_and_back(value):
    leaves, structure = tree.flatten(value)
    assert structure.num_leaves == len(leaves)
    back = tree.unflatten(structure, leaves)
    assert back == value
    assert type(back) is type(value)


def test_keys_are_sorted():
    a, b = tree.flatten({"b": 1, "a": 2}), tree.flatten({"a": 2, "b": 1})
    assert a == b
    assert a[0] == [2, 1]


def test_map_over_several_trees():
    assert tree.map(lambda a, b: a + b, {"x": [1, 2]}, {"x": [10, 20]}) == {"x": [11, 22]}
    assert tree.map(str, Point(1, (2,))) == Point("1", ("2",))
    assert tree.map(str, defaultdict(int, a=1)) == {"a": "1"}
    with pytest.raises(ArgumentError, match="trees differ"):
        tree.map(lambda a, b: a, [1, 2], [1])


def test_unflatten_counts():
    with pytest.raises(ArgumentError, match="got 1 leaves; need 2"):
        tree.unflatten(tree.flatten([1, 2])[1], [1])
