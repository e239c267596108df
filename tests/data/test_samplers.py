"""Samplers, collation and combined datasets, beside PyTorch's."""

from collections import Counter, OrderedDict, UserDict, defaultdict, namedtuple
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pytest
import torch
from torch.utils import data as theirs

import ambos as am
from ambos import data as ours
from ambos.core import tree

Point = namedtuple("Point", "x y")


class Listed(list):
    pass


def same(found, expected):
    """The structures, types of leaves and values agree."""
    if isinstance(expected, torch.Tensor):
        assert isinstance(found, am.Tensor)
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
        assert str(expected.dtype).endswith(found.dtype.name)
        return
    if isinstance(expected, (list, tuple)) and isinstance(expected[0], (str, bytes)):
        expected = list(expected)  # PyTorch's are tuples inside of tuples
    assert type(found) is type(expected)
    if isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            same(*pair)
    elif isinstance(expected, Mapping):
        assert list(found) == list(expected)
        for key in expected:
            same(found[key], expected[key])
    else:
        assert found == expected


@pytest.mark.parametrize(
    "samples",
    [
        [1, 2, 3],
        ["a", "bc"],
        [True, False],
        [np.float64(1), np.float64(2)],
        [np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)],
        [(np.arange(2), 1, "x"), (np.arange(2), 2, "y")],
        [Point(np.uint8([1]), 2), Point(np.uint8([3]), 4)],
        [{"a": np.int16([1]), "b": {"c": 1}}, {"a": np.int16([2]), "b": {"c": 2}}],
        [[np.zeros(1), np.ones(1)], [np.ones(1), np.ones(1)]],
        [b"a", b"b"],
        [defaultdict(list, a=[1, {"b": 2}]), defaultdict(list, a=[1, {"b": 3}])],
        [OrderedDict(b=1, a=[2, "c"]), OrderedDict(b=1, a=[2, "d"])],
        [UserDict(b=1), UserDict(b=2)],
        [
            [Listed([1, 2]), MappingProxyType({"a": 1})],
            [Listed([3, 4]), MappingProxyType({"a": 1})],
        ],
    ],
    ids=str,
)
def test_batches_have_pytorchs_structure(samples):
    expected = theirs.default_collate(samples)
    found = ours.default_collate(samples)
    if isinstance(expected, list) and isinstance(samples[0], tuple):
        expected = tuple(expected)  # PyTorch makes lists of tuples; a pair (x, y) stays a pair here
    same(found, expected)


def test_what_else_is_collated():
    assert ours.default_collate([0.5, 1]).dtype.name == "float32"  # as am.tensor([0.5, 1])
    assert ours.default_collate([torch.ones(2), torch.ones(2)]).shape == (2, 2)
    assert ours.default_collate([am.ones(2), am.ones(2)]).tolist() == [[1, 1], [1, 1]]
    for odd in ([2**63, 1], [2**70, 1], list(np.array(["2020", "2021"], "M8[D]"))):
        assert np.array_equal(ours.default_collate(odd), np.asarray(odd))
    assert ours.default_collate([0.5, 0.25]).dtype is am.float32
    assert ours.default_collate(list(np.float16([1, 2]))).dtype is am.float16
    assert ours.default_collate([1j, 2j]).dtype is am.complex128
    assert ours.default_convert([np.float32(1), "a"])[0].item() == 1
    given = np.zeros(2)
    kept = ours.default_convert((given,))[0]
    given[0] = 1
    assert kept.tolist() == [0, 0]


def test_foreign_byte_order():
    """As files of other machines have it: MNIST's, FITS, network protocols."""
    big = np.arange(6, dtype=">i4").reshape(3, 2)
    assert ours.default_collate(list(big)).tolist() == big.tolist()
    for dataset in (big, (big,), ours.Subset(ours.ArrayDataset(big), [0, 1, 2])):
        batch = next(iter(ours.DataLoader(dataset, batch_size=3)))
        assert (batch if dataset is big else batch[0]).tolist() == big.tolist()
    assert ours.default_convert(big).tolist() == big.tolist()
    (batch,) = ours.DataLoader([0, 1], 2, collate_fn=lambda batch: ours.default_collate([big]))
    assert batch.tolist() == [big.tolist()]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([np.zeros(2), np.zeros(3)], r"sample 1 has shape \(3,\), sample 0 \(2,\)"),
        ([{"x": 1}, {"x": 1, "y": 2}], "sample 1 has keys"),
        ([(1, 2), (1,)], "sample 1 has entries 1, sample 0 2"),
        ([1, "a"], "sample 1 is str, sample 0 numbers"),
        ([(1,), 2], "sample 1 is int, sample 0 tuple"),
        ([{"x": None}], r"sample\['x'\] is NoneType"),
        ([object()], "a sample is object"),
        ([], "got no samples"),
    ],
)
def test_what_cannot_be_stacked(samples, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ours.default_collate(samples)


def test_orders():
    ten = range(10)
    assert list(ours.SequentialSampler(ten)) == list(theirs.SequentialSampler(ten))
    sampler = ours.RandomSampler(ten, seed=1)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(ten)
    assert first != second
    sampler.set_epoch(1)
    state = sampler.state_dict()
    assert list(sampler) == second
    other = ours.RandomSampler(ten, seed=9)
    other.load_state_dict(state)
    assert list(other) == second
    assert Counter(ours.RandomSampler(ten, num_samples=25, seed=0)).most_common()[-1][1] == 2
    drawn = Counter(ours.RandomSampler(range(3), True, 3000, seed=0))
    assert all(900 < count < 1100 for count in drawn.values())
    assert sorted(ours.SubsetRandomSampler([4, 2, 7], seed=0)) == [2, 4, 7]
    drawn = Counter(ours.WeightedRandomSampler([1, 0, 3], 4000, seed=0))
    assert drawn[1] == 0
    assert 2900 < drawn[2] < 3100
    assert sorted(ours.WeightedRandomSampler([1, 0, 3], 2, replacement=False, seed=0)) == [0, 2]
    for size, drop in ((3, True), (3, False), (5, False)):
        mine = ours.BatchSampler(ours.SequentialSampler(ten), size, drop)
        yours = theirs.BatchSampler(theirs.SequentialSampler(ten), size, drop)
        assert list(mine) == list(yours)
        assert len(mine) == len(yours)
    for generator in (np.random.default_rng(0), torch.Generator(), am.random.Generator(3), 7):
        assert sorted(ours.RandomSampler(ten, generator=generator)) == list(ten)


@pytest.mark.parametrize("count", [7, 8, 1])
@pytest.mark.parametrize("drop", [False, True])
def test_shares_of_several_processes(count, drop):
    for rank in range(3):
        facts = {"num_replicas": 3, "rank": rank, "drop_last": drop, "shuffle": False}
        mine = ours.DistributedSampler(range(count), **facts)
        yours = theirs.DistributedSampler(range(count), **facts)
        assert list(mine) == list(yours)
        assert len(mine) == len(yours)
    mine = [ours.DistributedSampler(range(count), 3, rank, drop_last=False) for rank in range(3)]
    assert {i for sampler in mine for i in sampler} == set(range(count))
    mine[0].set_epoch(1)
    assert len(list(mine[0])) == len(mine[0])


def test_datasets_of_datasets():
    x = np.arange(10)
    arrays = ours.ArrayDataset(x, x * x)
    subset = ours.Subset(arrays, [3, 1, 4])
    assert [int(a) for a, _ in subset] == [3, 1, 4]
    assert subset.rows_at(np.array([2, 0]))[1].tolist() == [16, 9]
    joined = ours.ConcatDataset([subset, arrays])
    assert [int(joined[i][0]) for i in (0, 2, 3, -1)] == [3, 4, 0, 9]
    assert len(joined) == 13
    chained = ours.ChainDataset([ours.Dataset.range(2), ours.Dataset.from_generator(lambda: "ab")])
    assert list(chained) == [0, 1, "a", "b"]
    with pytest.raises(TypeError):
        len(chained)
    both = ours.StackDataset(x=range(3), y="abc")
    (batch,) = ours.DataLoader(both, batch_size=3)
    assert (batch["x"].tolist(), batch["y"]) == ([0, 1, 2], ["a", "b", "c"])
    for lengths in ([7, 3], [0.5, 0.3, 0.2], [0.33, 0.33, 0.34]):
        parts = ours.random_split(arrays, lengths, seed=0)
        expected = theirs.random_split(range(10), lengths)
        assert [len(part) for part in parts] == [len(part) for part in expected]
        assert sorted(int(a) for part in parts for a, _ in part) == list(range(10))
    ((x, y),) = ours.DataLoader(parts[0], batch_size=10)
    assert (x * x).tolist() == y.tolist()
    named = ours.DataLoader({"x": x, "y": y}, batch_size=2)
    assert [list(batch) for batch in named] == [["x", "y"]] * 2
    assert all(isinstance(leaf, am.Tensor) for batch in named for leaf in tree.leaves(batch))


class Shrinking(ours.Dataset):
    """Loses its examples on the way."""

    def __init__(self):
        self.values = list(range(6))

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        if index == 2:
            self.values.clear()
        return self.values[index]


class Stateful:
    """Somebody's own sampler, with a state."""

    def __init__(self):
        self.start = 0

    def __iter__(self):
        self.start += 1
        return iter([(self.start + i) % 5 for i in range(5)])

    def __len__(self):
        return 5

    def state_dict(self):
        return {"start": self.start}

    def load_state_dict(self, state):
        self.start = state["start"]


class TheirStream(theirs.IterableDataset):
    """As somebody wrote it for PyTorch; its base class has a `__getitem__`."""

    def __iter__(self):
        return iter(range(5))


def test_datasets_of_pytorch():
    assert [b.tolist() for b in ours.DataLoader(TheirStream(), 2)] == [[0, 1], [2, 3], [4]]
    rows = theirs.TensorDataset(torch.arange(3), torch.ones(3))
    ((x, y),) = ours.DataLoader(rows, 3)
    assert (x.tolist(), y.dtype.name) == ([0, 1, 2], "float32")


def test_samplers_of_others():
    make = lambda: ours.DataLoader(np.arange(5), sampler=Stateful())
    loader = make()
    list(loader)
    batches = iter(loader)
    assert [next(batches).item() for _ in range(2)] == [2, 3]
    again = make()
    again.load_state_dict(loader.state_dict())
    assert [b.item() for b in again] == [4, 0, 1]
    assert [b.item() for b in again] == [3, 4, 0, 1, 2]
    torchs = ours.DataLoader(np.arange(5), batch_sampler=theirs.BatchSampler([3, 1, 4], 2, False))
    assert [b.tolist() for b in torchs] == [[3, 1], [4]]
    weighted = ours.WeightedRandomSampler([0, 1, 0, 0, 0], 4)
    assert [b.tolist() for b in ours.DataLoader(np.arange(5), 2, sampler=weighted)] == [[1, 1]] * 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ours.DataLoader(np.zeros((0, 2))), "has no samples"),
        (lambda: ours.DataLoader([1], sampler=[0], shuffle=True), "the sampler decides"),
        (lambda: ours.DataLoader([1], batch_size=2, batch_sampler=[[0]]), "one of batch_size"),
        (lambda: ours.DataLoader([1], batch_size=None, drop_last=True), "drop_last needs batches"),
        (lambda: ours.DataLoader(iter("a"), sampler=[0]), "an iterable dataset and sampler"),
        (lambda: ours.DataLoader([1], sampler=3), "sampler is 3; need indices"),
        (
            lambda: list(ours.DataLoader([1], batch_sampler=[[0], 3])),
            "batch 1 of batch_sampler is 3",
        ),
        (
            lambda: list(ours.DataLoader([1], batch_sampler=[[]])),
            r"is \[\]; need a list of at least",
        ),
        (lambda: ours.DataLoader([1], collate_fn=3), "collate_fn is 3"),
        (lambda: ours.DataLoader([1], timeout=-1), "timeout is -1"),
        (lambda: ours.DataLoader([1], num_workers=-1), "num_workers is -1"),
        (lambda: ours.DataLoader([1]).load_state_dict({"epoch": 0}), "need what state_dict"),
        (lambda: ours.DataLoader([1]).load_state_dict({"epoch": -1, "batch": 0}), "negative"),
        (lambda: list(ours.DataLoader([1], sampler=[3])), "list index out of range"),
        (lambda: list(ours.DataLoader(np.ones(2), sampler=[3])), "rows 3 to 3 of 2"),
        (lambda: ours.RandomSampler([]), "has no samples"),
        (lambda: ours.RandomSampler([1], generator="x"), "generator is str"),
        (lambda: ours.WeightedRandomSampler([1, -1], 2), "not all 0"),
        (lambda: ours.WeightedRandomSampler([1, 0], 2, False), "at most 1"),
        (lambda: ours.DistributedSampler([1], 2, 2), "rank is 2 of 2"),
        (lambda: ours.random_split([1, 2], [1, 2]), "add up"),
        (lambda: ours.StackDataset([1], [1, 2]), "equally many"),
        (lambda: ours.ArrayDataset([1], x=[1]), "both positional and named"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises((ValueError, TypeError, IndexError), match=message):
        make()


def test_a_dataset_that_changes_its_length():
    with pytest.raises(IndexError) as caught:
        list(ours.DataLoader(Shrinking(), batch_size=2))
    (note,) = caught.value.__notes__
    assert "at sample 2 (the dataset had 6 samples when the epoch began, now 0)" in note


def test_a_sampler_may_not_lead_out_of_the_arrays():
    class Beyond(ours.RandomSampler):
        def order(self, epoch):
            return np.arange(self.shift, self.shift + 4, dtype=np.int32)

    rows = np.arange(6.0).reshape(6, 1)
    for shift, size in ((0, 3), (2, 4)):
        dataset = ours.TensorDataset(rows)
        sampler = Beyond(dataset)
        loader = ours.DataLoader(dataset, size, sampler=sampler)
        sampler.shift = shift
        wanted = rows[shift : shift + 4]
        np.testing.assert_array_equal(np.concatenate([np.asarray(b) for (b,) in loader]), wanted)
        for sampler.shift in (-1, 3):
            with pytest.raises(ValueError, match=r"sampler gave numbers .* for 6 examples"):
                list(loader)
