"""Trees: containers of every kind, structures, paths, errors that say where."""

import dataclasses
from collections import Counter, OrderedDict, defaultdict, namedtuple

import jax
import pytest

from ambos.core import tree
from ambos.core.errors import ArgumentError, UnknownNameError

Point = namedtuple("Point", "x y")


@tree.register_dataclass
@dataclasses.dataclass
class State:
    position: object
    speed: object
    name: str = dataclasses.field(default="s", metadata={"static": True})


class Pair:
    def __init__(self, a, b, label):
        self.a, self.b, self.label = a, b, label

    def __eq__(self, other):
        return vars(self) == vars(other)

    __hash__ = None


class Ring(Pair):
    """Without names for its children."""


tree.register_node(
    Pair,
    lambda p: ((p.a, p.b), p.label),
    lambda label, ab: Pair(*ab, label),
    lambda p: ((("a", p.a), (tree.GetAttrKey("b"), p.b)), p.label),
)
tree.register_node(Ring, lambda p: ((p.a, p.b), p.label), lambda label, ab: Ring(*ab, label))

VALUES = [
    1, None, [], {}, (), [1, (2, {"a": 3})], {"b": [1], "a": None}, Point(1, [2, 3]),
    OrderedDict(b=1, a=2), {1: "x", "a": 2}, defaultdict(list, a=[1]), State(1, {"v": 2}, "n"),
    Pair(1, [2], "p"), Ring(1, (2, None), "r"), {"deep": [State(Point(1, None), (2,))]},
    Counter(a=2),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_there_and_back(value):
    leaves, structure = tree.flatten(value)
    assert structure.num_leaves == len(leaves)
    back = tree.unflatten(structure, leaves)
    assert back == value
    assert type(back) is type(value)
    assert structure == tree.structure(back)
    assert hash(structure) == hash(tree.structure(back))


KNOWN_TO_JAX = [
    1, None, [], {}, [1, (2, {"a": 3})], {"b": [1], "a": None}, Point(1, [2, 3]),
    OrderedDict(b=1, a=2), defaultdict(list, a=[1]), {"z": {3: (4, None), 1: Point(5, {})}},
]  # fmt: skip


@pytest.mark.parametrize("value", KNOWN_TO_JAX, ids=repr)
def test_leaves_and_paths_are_jax_s(value):
    ours, theirs = tree.leaves(value), jax.tree.leaves(value)
    assert ours == theirs
    paths = [str(path) for path, _ in tree.leaves_with_path(value)]
    assert paths == [jax.tree_util.keystr(p) for p, _ in jax.tree.leaves_with_path(value)]


def test_structures_are_told_apart():
    different = [tree.structure(value) for value in VALUES]
    assert len({*different}) == len(different)
    assert tree.structure(State(1, 2, "a")) != tree.structure(State(1, 2, "b"))
    assert tree.structure(defaultdict(int, a=1)) != tree.structure(defaultdict(list, a=1))
    assert tree.structure([1, 2]) != tree.structure((1, 2))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": [1, (2,)], "a": None}, "{'a': None, 'b': [*, (*,)]}"),
        (Point(1, OrderedDict(z=1)), "Point(x=*, y=OrderedDict({'z': *}))"),
        (State(1, [2], "n"), "State(position=*, speed=[*], name='n')"),
        (Pair(1, 2, "p"), "Pair(a=*, b=*)"),
        (3, "*"),
    ],
)
def test_structures_print(value, text):
    assert str(tree.structure(value)) == text
    assert repr(tree.structure(value)) == f"Structure({text})"


def test_keys_are_sorted():
    a, b = tree.flatten({"b": 1, "a": 2}), tree.flatten({"a": 2, "b": 1})
    assert a == b
    assert a[0] == [2, 1]
    assert tree.structure({1: 0, "a": 0}) == tree.structure({"a": 0, 1: 0})


def test_none_is_a_leaf_where_one_says_so():
    is_none = lambda x: x is None
    assert tree.leaves([1, None]) == [1]
    assert tree.leaves([1, None], is_leaf=is_none) == [1, None]
    assert tree.map(str, {"a": None}) == {"a": None}
    assert tree.map(str, {"a": None}, is_leaf=is_none) == {"a": "None"}


def test_map_over_several_trees():
    assert tree.map(lambda a, b: a + b, {"x": [1, 2]}, {"x": [10, 20]}) == {"x": [11, 22]}
    assert tree.map(str, Point(1, (2,))) == Point("1", ("2",))
    assert tree.map(str, defaultdict(int, a=1)) == defaultdict(int, a="1")
    assert tree.map(lambda a, b: (a, b), [1, 2], [(3, 4), {}]) == [(1, (3, 4)), (2, {})]


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ([1, 2], [1], "at the top the first has a list of 2, the second a list of 1"),
        ({"w": [1, (2,)]}, {"w": [1, [2]]}, r"at \['w'\]\[1\] .* a tuple of 1, the second a list"),
        ({"w": 1, "b": 2}, {"w": 1}, r"keys 'b', 'w', .* the keys 'w'; need 'b' there as well"),
        ({"w": 1}, {"w": 1, "c": 2}, r"need no 'c'"),
        (State([1], 2), State(None, 2), r"at \.position .* a list of 1, the second None; need .*"
                                        r"is_leaf=lambda x: x is None"),
        (Point(1, {"a": 1}), Point(1, 5), r"at \.y .* the keys 'a', the second a leaf"),
        (State(1, 2, "n"), State(1, 2, "m"), r"a State with name='n', the second a State with nam"),
        (Pair([1], 2, "p"), Pair((1,), 2, "p"), r"at \.a "),
        (Ring([1], 2, "p"), Ring((1,), 2, "p"), r"at \[<child 0>\] "),
        (defaultdict(int, a=1), defaultdict(list, a=1), "a defaultdict of int with the keys 'a', "),
    ],
)  # fmt: skip
def test_a_mismatch_says_where_and_what(one, other, says):
    with pytest.raises(ArgumentError, match=rf"^tree\.map: .*{says}.*The structures are "):
        tree.map(lambda a, b: a, one, other)


def test_paths():
    params = {"dense": [State(1, (2, 3))]}
    found = [f"params{path}" for path, _ in tree.leaves_with_path(params)]
    assert found[1] == "params['dense'][0].speed[0]"
    shown = tree.map_with_path(lambda path, leaf, other: (str(path), leaf + other), [1, {2: 3}],
                               [10, {2: 30}])  # fmt: skip
    assert shown == [("[0]", 11), {2: ("[1][2]", 33)}]


def test_reduce_all_transpose():
    assert tree.reduce(lambda a, b: a - b, [10, {"a": 1, "b": (2,)}]) == 7
    assert tree.reduce(lambda a, b: a + b, [], 5) == 5
    with pytest.raises(ArgumentError, match="need an initializer"):
        tree.reduce(max, {})
    assert tree.all([True, {"a": 1}])
    assert not tree.all([True, {"a": 0}])
    pairs = {"a": (1, [2]), "b": (3, [4])}
    outer, inner = tree.structure({"a": 0, "b": 0}), tree.structure((0, [0]))
    turned = tree.transpose(outer, inner, pairs)
    assert turned == ({"a": 1, "b": 3}, [{"a": 2, "b": 4}])
    assert tree.transpose(outer, None, pairs) == turned
    with pytest.raises(ArgumentError, match=r"at \[1\] .* a list of 1, the second a leaf"):
        tree.transpose(outer, inner, {"a": (1, 2), "b": (3, 4)})


def test_prefixes():
    full = {"a": [1, 2], "b": (3, {"c": 4, "d": 5})}
    assert tree.broadcast_prefix(0, full) == [0] * 5
    assert tree.broadcast_prefix({"a": 7, "b": (8, 9)}, full) == [7, 7, 8, 9, 9]
    none = lambda x: x is None
    assert tree.broadcast_prefix({"a": None, "b": 1}, full, none) == [None, None, 1, 1, 1]
    assert tree.broadcast_prefix({"a": None, "b": 1}, tree.structure(full), none)[0] is None
    with pytest.raises(ArgumentError, match=(
        r"at \['b'\]\[1\] in_axes has a tuple of 1, the argument a dict with the keys 'c', 'd'; "
        r"need .*\. in_axes: \{'a': \*, 'b': \(\*, \(\*,\)\)\}; the argument: \{'a': "
    )):  # fmt: skip
        tree.broadcast_prefix({"a": 0, "b": (0, (0,))}, full, None, ("in_axes", "the argument"))
    with pytest.raises(ArgumentError, match="the prefix has a list of 2, the tree a leaf"):
        tree.broadcast_prefix([0, 1], 5)


def test_dataclasses_are_registered_once_and_whole():
    @dataclasses.dataclass
    class Plain:
        x: int
        y: int
        z: int

    assert len(tree.leaves(Plain(1, 2, 3))) == 1  # a leaf, until it is registered
    with pytest.raises(ArgumentError, match="need each field once"):
        tree.register_dataclass(Plain, data_fields=["x"], meta_fields=["y"])
    with pytest.raises(ArgumentError, match="need each field once"):
        tree.register_dataclass(Plain, data_fields=["x", "w"], meta_fields=["y", "z"])
    assert tree.register_dataclass(Plain, meta_fields=["y"]) is Plain
    assert tree.leaves(Plain(1, 2, 3)) == [1, 3]
    with pytest.raises(ArgumentError, match="Plain is registered already"):
        tree.register_dataclass(Plain)
    with pytest.raises(ArgumentError, match="Pair, which is no dataclass"):
        tree.register_dataclass(Pair)
    with pytest.raises(ArgumentError, match="x is Plain, a dataclass that trees do not know"):
        tree.refuse_unregistered("jit", Plain(1, 2, 3), "x")


def test_misuse_is_answered():
    with pytest.raises(ArgumentError, match=r"got 1 leaves; need 2 for \[\*, \*\]"):
        tree.unflatten(tree.flatten([1, 2])[1], [1])
    with pytest.raises(ArgumentError, match=r"need the structure, then the leaves"):
        tree.unflatten([1, 2], tree.structure([1, 2]))
    loop: list = []
    loop.append(loop)
    with pytest.raises(ArgumentError, match="contains itself"):
        tree.flatten(loop)
    with pytest.raises(ArgumentError, match="unhashable type: 'list' among what it keeps"):
        tree.structure(Pair(1, 2, []))
    with pytest.raises(UnknownNameError, match="Did you mean 'is_leaf'"):
        tree.map(str, [1], is_leave=None)
    with pytest.raises(ArgumentError, match="need a class"):
        tree.register_node(3, None, None)
    with pytest.raises(ArgumentError, match="dict is registered already"):
        tree.register_node(dict, None, None)
    assert tree.leaves({"fine": [1, 2]}) == [1, 2]


def test_classes_by_the_thousand_are_not_kept():
    from ambos.core import containers

    for number in range(containers.MOST_KINDS + 100):
        tree.leaves(type(f"C{number}", (), {})())
    assert len(containers._known) <= containers.MOST_KINDS + len(containers._registered) + 1
    assert tree.leaves([State(1, 2)]) == [1, 2]
