"""Batches: every example once, the same order for the same seed, structures kept."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.data import ArrayDataset, DataLoader, Dataset

X, Y = np.arange(20, dtype=np.float32).reshape(10, 2), np.arange(10)


class Squares(Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return {"x": np.float32([index]), "y": index * index}


def labels(loader):
    return [y.tolist() for _, y in loader]


def test_batches_in_order_with_a_short_last_one():
    loader = DataLoader((X, Y), batch_size=4)
    assert labels(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(loader) == 3
    x, y = next(iter(loader))
    np.testing.assert_array_equal(x.numpy(), X[:4])
    assert (x.dtype.name, y.dtype.name) == ("float32", "int64")
    assert labels(DataLoader((X, Y), batch_size=4, drop_last=True)) == labels(loader)[:2]


def test_shuffles_are_seeded_and_differ_between_epochs():
    loader = DataLoader((X, Y), batch_size=3, shuffle=True, seed=7)
    first, second = labels(loader), labels(loader)
    assert sorted(label for batch in first for label in batch) == list(range(10))
    assert first != second
    again = DataLoader((X, Y), batch_size=3, shuffle=True, seed=7)
    assert [labels(again), labels(again)] == [first, second]
    assert labels(DataLoader((X, Y), batch_size=3, shuffle=True, seed=8)) != first


def test_the_global_seed_drives_unseeded_shuffles():
    am.manual_seed(3)
    first = labels(DataLoader((X, Y), batch_size=5, shuffle=True))
    other = labels(DataLoader((X, Y), batch_size=5, shuffle=True))
    am.manual_seed(3)
    assert labels(DataLoader((X, Y), batch_size=5, shuffle=True)) == first
    assert first != other


def test_rows_stay_together():
    for x, y in DataLoader((X, Y), batch_size=3, shuffle=True, seed=0):
        np.testing.assert_array_equal(x.numpy(), X[y.numpy()])


def test_what_counts_as_arrays():
    for x in (am.tensor(X), torch.tensor(X), X.tolist()):
        loader = DataLoader((x, list(range(10))), batch_size=10)
        ((bx, by),) = loader
        np.testing.assert_array_equal(bx.numpy(), X)
        assert bx.dtype.name == "float32"
        assert by.tolist() == list(range(10))
    (single,) = DataLoader(X, batch_size=10)
    assert single.shape == (10, 2)
    (batch,) = DataLoader(Squares(), batch_size=5)
    assert batch["y"].tolist() == [0, 1, 4, 9, 16]
    assert batch["x"].shape == (5, 1)


def test_dataset_indexing():
    data = ArrayDataset(X, Y)
    assert data[-1][1] == 9
    with pytest.raises(IndexError, match="index 10 of 10"):
        data[10]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataLoader((X, Y[:3])), "10 and 3 rows"),
        (lambda: DataLoader((X, Y), batch_size=0), "batch_size is 0"),
        (lambda: DataLoader((X, Y), batchsize=2), "Did you mean 'batch_size'"),
        (lambda: DataLoader(3), "got int"),
        (lambda: DataLoader((np.array(["2026"], "M8[Y]"),)), "need numbers"),
        (lambda: DataLoader((np.array(["a", None]),)), "None in row 1; need strings"),
        (lambda: ArrayDataset(np.float32(1)), "single number"),
        (lambda: ArrayDataset(), "no arrays"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_sample_that_reads_another_loader_keeps_its_random_numbers():
    class Outer(Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            first = am.data.random().random() if index else 0.0
            (inner,) = DataLoader(Noise(), batch_size=2, seed=5)
            return first, inner.sum().item(), am.data.random().random()

    class Noise(Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return am.data.random().random()

    def read(batch_size):
        batches = DataLoader(Outer(), batch_size=batch_size, seed=1)
        return [np.concatenate(column).tolist() for column in zip(*batches, strict=True)]

    am.manual_seed(0)
    whole, parts = read(3), read(1)
    assert whole == parts
    assert len(set(whole[1])) == 1
    assert len(set(whole[2])) == 3


def test_a_batch_belongs_to_whoever_holds_it():
    """Of single samples and of several: neither the dataset nor a later batch changes it."""
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    for batch_size in (None, 1, 2):
        samples = [(row, n) for n, row in enumerate(rows)]
        held = list(DataLoader(samples, batch_size=batch_size))
        kept = [x.tolist() for x, _ in held]
        rows += 1
        assert [x.tolist() for x, _ in held] == kept
        held[0][0].add_(1)
        assert held[0][0].tolist() == (np.array(kept[0]) + 1).tolist()


def frozen(array):
    array.flags.writeable = False
    return array


def lending(tmp_path):
    """Arrays that nobody can write to."""
    np.save(tmp_path / "rows.npy", X)
    yield frozen(X.copy())
    yield frozen(X.copy())[3:]
    yield np.load(tmp_path / "rows.npy", mmap_mode="r")
    yield np.load(tmp_path / "rows.npy", mmap_mode="r")[2]
    yield np.frombuffer(X.tobytes(), np.float32)


def keeping(tmp_path):
    """Arrays that somebody could write to, or that lie otherwise than tensors."""
    np.save(tmp_path / "kept.npy", X)
    yield X
    yield frozen(X[:])
    yield frozen(np.frombuffer(memoryview(bytearray(X.tobytes())).toreadonly(), np.float32))
    for mode in ("c", "r+"):
        yield np.load(tmp_path / "kept.npy", mmap_mode=mode)
        yield frozen(np.load(tmp_path / "kept.npy", mmap_mode=mode)[:])
    yield pytest.importorskip("pyarrow").array(X.reshape(-1)).to_numpy()  # lies where X does
    yield frozen(X.copy()).T
    yield frozen(X.astype(">f4"))
    yield np.broadcast_to(X[0], (3, 2))
    yield np.frombuffer(b"x" + X.tobytes(), np.uint8)[1:].view(np.float32)


def test_samples_that_nobody_can_write_to_lend_their_memory(tmp_path):
    for array in lending(tmp_path):
        (found,) = DataLoader([array], batch_size=None)
        assert found._node.value.address == array.ctypes.data
        before = array.copy()
        found += 1  # no tensor writes there
        found[0] = 9
        am.jit(lambda x: x * 2, donate_argnums=0)(found)
        np.testing.assert_array_equal(array, before)
    for array in keeping(tmp_path):
        (found,) = DataLoader([array], batch_size=None)
        assert found._node.value.address != array.ctypes.data
        np.testing.assert_array_equal(found.numpy(), array)
