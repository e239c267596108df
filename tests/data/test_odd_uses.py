"""What people do with datasets and loaders by mistake, and what PyTorch allows."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import AmbosError, ArgumentError
from ambos.data import (
    ArrayDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    TextVectorization,
    default_collate,
    random_split,
)

THREE = np.arange(3)
range_ = Dataset.range


def once(*elements):
    yield from elements


def padded(padding, *rows):
    return list(Dataset.from_generator(lambda: iter(rows)).padded_batch(2, padding=padding))


@pytest.mark.parametrize(
    ("use", "told"),
    [
        (lambda: SubsetRandomSampler([0.5, 1.7]), r"indices are \[0.5, 1.7\]; need int"),
        (lambda: SubsetRandomSampler([True, False]), r"mask; need numbers: np\.flat"),
        (lambda: Subset(THREE, THREE > 1), r"Subset: got a mask; need numbers"),
        (lambda: Subset(THREE, ["a"]), r"Subset: indices are \['a'\]; need integers"),
        (lambda: list(DataLoader((THREE, THREE), sampler=[0.5, 1])), "need integers"),
        (lambda: list(DataLoader((THREE, THREE), sampler=THREE > 1)), "got a mask"),
        (lambda: list(DataLoader((THREE, THREE), sampler=[0, 5])), "rows that exist"),
        (lambda: random_split(DataLoader([1, 2]), [1, 1]), "has no index"),
        (lambda: range_(3)[1.5], r"index is 1.5; need an integer"),
        (lambda: range_(3).batch(2)[0:1], r"batch: index is slice.*take and skip"),
        (lambda: range_(3).map(abs)[3], "map: index 3 of 3 examples; need -3 <="),
        (lambda: Subset("ab", [0])[1], "Subset: index 1 of 1 examples"),
        (lambda: ConcatDataset(["ab"])["a"], "ConcatDataset: index is 'a'"),
        (lambda: list(range_(3).filter(lambda x: None)), "function gave None; need"),
        (lambda: list(Dataset.from_generator(lambda: None)), "gave NoneType; need"),
        (lambda: padded(-1, np.uint8([1])), "padding is -1, which no uint8 can be"),
        (lambda: padded(0.5, THREE, THREE[:2]), "padding is 0.5, which no int64"),
        (lambda: default_collate(["a", 1]), "sample 1 is int, sample 0 text; need one"),
        (lambda: default_collate(np.ones((2, 2))), "got ndarray; need a list"),
        (lambda: default_collate(am.ones(2)), "got Tensor; need a list"),
        (lambda: TextVectorization().adapt(None), "adapt: got NoneType; need values, or batches"),
        (lambda: TextVectorization().adapt(Dataset.from_tensor_slices(["a"]).batch(1).repeat()),
         "adapt: the data go on without end; need steps"),
        (lambda: DataLoader(Dataset), r"got the class Dataset; need a dataset: Da"),
    ],
)  # fmt: skip
def test_mistakes_are_told(use, told):
    with pytest.raises(AmbosError, match=told):
        use()


def test_a_predicate_that_cannot_decide_is_told_by_its_element():
    with pytest.raises(ValueError, match="truth value") as caught:
        list(range_(3).filter(lambda x: np.array([True, False]) if x else True))
    assert caught.value.__notes__ == ["filter: at element 1"]


@pytest.mark.parametrize("more", [{}, {"batch_size": None}])
def test_what_gives_its_elements_once_is_told_in_the_second_pass(more):
    for loader, told in (
        (DataLoader(once(1, 2), **more), "dataset is a generator.*need Dataset.from_generator"),
        (DataLoader(THREE, sampler=once(1, 2), **more), "sampler is a generator.*; need a list"),
        (DataLoader([1, 2, 3], sampler=iter([0, 1]), **more), "sampler is a list_iterator"),
    ):
        assert len(list(loader)) == 2
        with pytest.raises(ArgumentError, match=told):
            list(loader)
    assert list(DataLoader(once(), **more)) == []
    batches = DataLoader([1, 2, 3], batch_sampler=once([0, 1]))
    assert len(list(batches)) == 1
    with pytest.raises(ArgumentError, match="batch_sampler is a generator"):
        list(batches)


def test_rows_of_tables_are_told_by_place_not_by_their_index():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0]})[1:]
    (batch,) = DataLoader(table, batch_size=2)
    assert batch.tolist() == [[2, 5], [3, 6]]
    (batch,) = DataLoader(table["a"], batch_size=2)
    assert batch.tolist() == [2, 3]


@pytest.mark.parametrize("index", [slice(1, 4, 2), [3, 1], np.array([0, 4]), np.int64(2), -1])
def test_several_rows_at_once_as_pytorchs(index):
    x, y = np.arange(10.0).reshape(5, 2), np.arange(5)
    theirs = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))[index]
    for found, wanted in zip(TensorDataset(x, y)[index], theirs, strict=True):
        np.testing.assert_array_equal(found, wanted.numpy())
    assert TensorDataset(y)[am.tensor([2, 0])][0].tolist() == [2, 0]
    with pytest.raises(IndexError, match="5 is out of bounds"):
        TensorDataset(x, y)[[5]]


def test_numbers_of_numpy_in_samples_without_batches_are_tensors_as_pytorchs():
    sample = (np.int64(3), {"a": [np.float32(2)]}, 4, np.str_("b"))
    found, wanted = (
        next(iter(kind([sample], batch_size=None)))
        for kind in (DataLoader, torch.utils.data.DataLoader)
    )
    assert (found[0].dtype.name, found[0].item()) == ("int64", wanted[0].item())
    assert (found[1]["a"][0].dtype.name, found[1]["a"][0].item()) == ("float32", 2)
    assert (type(found[2]), found[3]) == (type(wanted[2]), wanted[3])


def test_zips_are_written_as_in_tensorflow():
    for zipped in (Dataset.zip((range_(2), range_(3))), Dataset.zip(range_(2), range_(3)),
                   Dataset.zip([range_(2), range_(3)])):  # fmt: skip
        assert list(zipped) == [(0, 0), (1, 1)]


def test_a_column_may_be_called_self():
    assert ArrayDataset(self=THREE)[1] == {"self": 1}


def test_pipelines_in_tensorflows_words():
    theirs = (
        range_(9)
        .map(map_func=lambda x: 2 * x, num_parallel_calls=am.data.AUTOTUNE)
        .cache(filename=None)
        .shuffle(buffer_size=9, seed=3, reshuffle_each_iteration=False)
        .padded_batch(2, padding_values=1, drop_remainder=True)
        .prefetch(buffer_size=am.data.AUTOTUNE)
        .repeat(-1)
        .take(6)
    )
    ours = (
        range_(9)
        .map(lambda x: 2 * x, workers=2)
        .cache()
        .shuffle(9, seed=3, reshuffle=False)
        .padded_batch(2, padding=1, drop_last=True)
        .prefetch()
        .repeat()
        .take(6)
    )
    assert [batch.tolist() for batch in theirs] == [batch.tolist() for batch in ours]
    assert len(range_(5).batch(2, drop_remainder=True)) == 2
    assert len(range_(5).window(2, drop_remainder=True)) == 2
    with pytest.raises(ArgumentError, match="drop_remainder and drop_last, which are one"):
        range_(5).batch(2, drop_last=True, drop_remainder=True)
    with pytest.raises(AmbosError, match="Did you mean 'buffer'"):
        range_(5).shuffle(bufer=2)
