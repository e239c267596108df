"""Pipelines: what tf.data's stages give, by index where that is possible, resumed exactly."""

import errno
import os
import pickle
import resource
import tempfile
import threading
import warnings

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import ArgumentError, FormatError, ShapeError
from ambos.data import ArrayDataset, DataLoader, Dataset, IterableDataset

numbers = Dataset.range


def double(x):
    return 2 * x


def noise(x):
    return float(x) + am.data.random().random()


def even(x):
    return x % 2 == 0


def upto(x):
    return numbers(int(x))


class TheirStream(IterableDataset):
    def __iter__(self):
        return iter("ab")


def flat(dataset):
    return [x.tolist() if hasattr(x, "tolist") else x for x in dataset]


def letters():
    yield from "abcdefg"


STAGES = {
    "map": (lambda d: d.map(double), [0, 2, 4, 6, 8, 10, 12, 14]),
    "map-threads": (lambda d: d.map(double, workers=2), [0, 2, 4, 6, 8, 10, 12, 14]),
    "filter": (lambda d: d.filter(even), [0, 2, 4, 6]),
    "batch": (lambda d: d.batch(3), [[0, 1, 2], [3, 4, 5], [6, 7]]),
    "batch-drop": (lambda d: d.batch(3, drop_last=True), [[0, 1, 2], [3, 4, 5]]),
    "unbatch": (lambda d: d.batch(3).unbatch(), [0, 1, 2, 3, 4, 5, 6, 7]),
    "prefetch": (lambda d: d.prefetch(2), [0, 1, 2, 3, 4, 5, 6, 7]),
    "cache": (lambda d: d.cache(), [0, 1, 2, 3, 4, 5, 6, 7]),
    "repeat": (lambda d: d.take(3).repeat(2), [0, 1, 2, 0, 1, 2]),
    "endless": (lambda d: d.repeat().take(10), [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]),
    "skip": (lambda d: d.skip(5), [5, 6, 7]),
    "take": (lambda d: d.take(2), [0, 1]),
    "shard": (lambda d: d.shard(3, 1), [1, 4, 7]),
    "enumerate": (lambda d: d.skip(6).enumerate(start=1), [(1, 6), (2, 7)]),
    "zip": (lambda d: d.zip(d.skip(6)), [(0, 6), (1, 7)]),
    "concatenate": (lambda d: d.take(2) + d.skip(7), [0, 1, 7]),
    "window": (lambda d: d.window(3, shift=2, stride=2, drop_last=True), [[0, 2, 4], [2, 4, 6]]),
    "window-cut": (lambda d: d.window(3), [[0, 1, 2], [3, 4, 5], [6, 7]]),
    "interleave": (lambda d: d.take(4).interleave(upto, cycle_length=2), [0, 0, 1, 0, 1, 2]),
    "flat_map": (lambda d: d.take(4).flat_map(upto), [0, 0, 1, 0, 1, 2]),
}  # fmt: skip
BY_ORDER = {"filter", "unbatch", "endless", "interleave", "flat_map"}
SOURCES = {"by index": lambda: numbers(8), "stream": lambda: Dataset.from_generator(range, (8,))}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", STAGES)
def test_stages(name, source):
    """What comes, what is known of it, resumed after each element, and shared among workers."""
    make, expected = STAGES[name]
    dataset = make(SOURCES[source]())
    assert flat(dataset) == expected == flat(dataset)
    assert dataset.indexable == (source == "by index" and name not in BY_ORDER)
    if dataset.indexable:
        assert flat(dataset[i] for i in range(len(dataset))) == expected
        assert len(dataset) == len(expected)
        assert flat([dataset[-1]]) == expected[-1:]
    for position in range(len(expected) + 1):
        first, again = iter(dataset), iter(make(SOURCES[source]()))
        for _ in range(position):
            next(first)
        again.load_state_dict(first.state_dict())
        assert flat(again) == expected[position:]
    for workers in (2, 3):
        shares = [flat(dataset.stream(0, 0, am.data.selection.share_of(w, workers, 0, 1)))
                  for w in range(workers)]  # fmt: skip
        for worker, share in enumerate(shares):
            assert share == expected[worker::workers]


@pytest.mark.parametrize(
    ("cycle", "block", "sizes", "expected"),
    [
        (3, 2, [5, 1, 4, 0, 3, 2], [0, 1, 10, 20, 21, 2, 3, 22, 23, 4, 40, 41, 50, 51, 42]),
        (2, 3, [4, 4, 7, 1], [0, 1, 2, 10, 11, 12, 3, 13, 20, 21, 22, 30, 23, 24, 25, 26]),
        (4, 1, [3, 0, 0, 2, 1, 5], [0, 30, 1, 40, 50, 31, 2, 51, 52, 53, 54]),
    ],
)
def test_interleaved_in_the_order_of_tensorflow(cycle, block, sizes, expected):
    """What TensorFlow 2.21's tf.data gives."""
    several = (
        Dataset.from_tensor_slices(sizes)
        .enumerate()
        .interleave(lambda i, n: numbers(10 * i, 10 * i + int(n)), cycle, block)
    )
    assert flat(several) == expected


def test_functions_are_called_for_what_is_wanted_only():
    calls = []
    seen = numbers(100).map(lambda x: calls.append(int(x)) or x)
    iterator = iter(seen.batch(10))
    iterator.load_state_dict({"epoch": 0, "position": 9, "seed": 0})
    assert flat(iterator) == [list(range(90, 100))]
    assert calls == list(range(90, 100))
    assert (seen[7], calls[-1]) == (7, 7)
    assert next(iter(seen.shuffle(seed=0))) == calls[-1]


def test_tuples_become_arguments():
    pairs = ArrayDataset(np.arange(3), np.arange(3) * 10)
    assert flat(pairs.map(lambda x, y: x + y)) == [0, 11, 22]
    assert flat(pairs.map(lambda pair: pair[1])) == [0, 10, 20]
    assert flat(pairs.filter(lambda x, y: y > 5).map(lambda *both: len(both))) == [2, 2]


def test_shuffles():
    whole = numbers(20).shuffle(seed=1)
    first, second = flat(whole), flat(whole)
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert flat(numbers(20).shuffle(seed=1)) == first
    assert flat(numbers(20).shuffle(seed=1, reshuffle=False).repeat(2)) == first + first
    whole.set_epoch(1)
    assert [int(whole[i]) for i in range(20)] == second
    drawn = numbers(20).shuffle(5, seed=1)
    found = flat(drawn)
    assert sorted(found) == list(range(20)) != found
    assert all(value < place + 5 for place, value in enumerate(found))
    twice = numbers(20).shuffle(seed=1).repeat(2)
    assert flat(twice)[:20] != flat(twice)[20:]
    epochs = [flat(twice), flat(twice)]
    twice.set_epoch(1)
    assert [int(twice[i]) for i in range(40)] == flat(twice)
    assert epochs[0] != epochs[1]
    am.manual_seed(0)
    other = flat(numbers(20).shuffle())
    am.manual_seed(0)
    assert flat(numbers(20).shuffle()) == other


def test_random_numbers_follow_the_sample_and_the_stage():
    settings = {"batch_size": 2, "seed": 3}
    helping = {"num_workers": 2, "multiprocessing_context": "fork", **settings}
    noisy = numbers(6).map(noise)
    alone = [b.tolist() for b in DataLoader(noisy.map(noise), **settings)]
    helped = DataLoader(noisy.map(noise), **helping)
    assert [b.tolist() for b in helped] == alone
    stream = Dataset.from_generator(range, (6,)).map(noise)
    alone = [b.tolist() for b in DataLoader(stream.map(noise), **settings)]
    helped = DataLoader(
        stream.map(noise), num_workers=2, multiprocessing_context="fork", **settings
    )
    assert [b.tolist() for b in helped] == alone
    threads = stream.map(noise, workers=3)
    assert [b.tolist() for b in DataLoader(threads, **settings)] == alone
    fractions = np.array(flat(noisy)) % 1
    assert len(set(fractions.tolist())) == 6
    twice = np.array(flat(numbers(6).map(noise).map(noise))) - np.arange(6)
    assert not np.isclose(twice / 2, fractions).any()
    iterator = iter(stream)
    next(iterator)
    again = iter(stream)
    again.load_state_dict(iterator.state_dict())
    assert list(again) == list(iterator)


def test_a_dataset_is_resumed_as_a_loader_is():
    make = lambda: numbers(6).shuffle(seed=4).map(noise)
    am.manual_seed(1)
    dataset = make()
    assert dataset.state_dict() == {"epoch": 0, "position": 0, "seed": None}
    flat(dataset)
    assert dataset.state_dict() == {"epoch": 1, "position": 0, "seed": None}
    before = am.random.default_generator.get_state()
    for place, _ in enumerate(dataset):
        if place == 2:
            break
    state = dataset.state_dict()
    am.manual_seed(9)
    again = make()
    again.load_state_dict(state)
    rest = flat(again), flat(again)
    am.random.default_generator.set_state(before)
    dataset.set_epoch(1)
    epochs = flat(dataset), flat(dataset)
    assert rest[0] == epochs[0][3:]
    assert [round(x - 0.5) for x in rest[1]] == [round(x - 0.5) for x in epochs[1]]
    saved = am.random.default_generator.get_state()
    next(iter(numbers(3)))
    dataset.state_dict()
    assert am.random.default_generator.get_state() == saved  # to save draws nothing
    assert not hasattr(TheirStream(), "state_dict")
    with pytest.raises(FormatError, match="negative"):
        dataset.load_state_dict({"epoch": 0, "position": -1, "seed": None})


def test_loaders_read_pipelines():
    pipeline = numbers(10).map(double).shuffle(seed=2).batch(4)
    expected = flat(pipeline)
    pipeline.set_epoch(0)
    assert [b.tolist() for b in DataLoader(pipeline, batch_size=None)] == expected
    stream = Dataset.from_generator(letters).enumerate().batch(3)
    for workers in (0, 2):
        loader = DataLoader(stream, batch_size=None, num_workers=workers,
                            multiprocessing_context="fork")  # fmt: skip
        found = [(n.tolist(), text) for n, text in loader]
        assert found == [([0, 1, 2], ["a", "b", "c"]), ([3, 4, 5], ["d", "e", "f"]), ([6], ["g"])]


def test_a_damaged_cache_is_told_by_its_element(tmp_path):
    path = tmp_path / "numbers"
    assert flat(numbers(9).cache(path)) == list(range(9))
    content = bytearray(path.read_bytes())
    content[40:80] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"numbers: element [01] at byte \d+ cannot be read"):
        flat(numbers(9).cache(path))


def test_a_cache_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    path = tmp_path / "numbers"
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)) as caught:
        flat(numbers(9).map(lambda x: threading.Lock() if x == 5 else x).cache(path))
    assert f"cache: element 5 could not be written to {path}" in caught.value.__notes__[0]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):  # nothing is full: the path is none
        flat(numbers(9).cache(tmp_path / "file" / "numbers"))


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["begin", "element", "end", "place"])
def test_a_full_disk_costs_the_cache_and_not_the_pass(where, tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    rows = numbers(9).map(lambda x: np.full(200, x))
    cached = rows.map(lambda x: x[0]).cache(folder / "numbers")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if where == "element":  # the real thing: the kernel refuses to write more than some bytes
        cached = rows.cache(folder / "numbers").map(lambda x: x[0])
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    elif where == "begin":
        monkeypatch.setattr(tempfile, "mkstemp", full)
    else:
        monkeypatch.setattr(os, "fsync" if where == "end" else "replace", full)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            assert flat(cached) == flat(cached) == list(range(9))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (warning,) = said
    told = "File too large" if where == "element" else "No space left on device"
    assert f"cannot write {folder / 'numbers'}: {told}; goes on without it" in str(warning.message)
    assert warning.filename == __file__
    assert list(folder.iterdir()) == []


def test_a_source_that_cannot_be_read_is_no_full_disk(tmp_path):
    with pytest.raises(OSError, match="No space left"):
        flat(numbers(9).map(lambda x: full() if x == 5 else x).cache(tmp_path / "numbers"))
    elements = iter(numbers(9).cache(tmp_path / "numbers"))
    next(elements)
    elements.close()
    assert list(tmp_path.iterdir()) == []


def test_functions_that_raise_are_told_by_their_element():
    for made, where in (
        (numbers(9).filter(lambda x: 1 // int(x - 5)), "filter: at element 5"),
        (numbers(9).interleave(lambda x: [1 // int(x - 5)]), "interleave: at element 5"),
        (numbers(9).flat_map(lambda x: [1 // int(x - 5)]), "flat_map: at element 5"),
        (numbers(9).map(lambda x: 1 // int(x - 5)), "map: at element 5"),
    ):
        with pytest.raises(ZeroDivisionError) as caught:
            flat(made.map(lambda x: int(x)))
        assert where in caught.value.__notes__


def test_caches_in_files(tmp_path):
    calls = []
    path = tmp_path / "made" / "cache"
    seen = lambda: Dataset.from_generator(letters).map(lambda x: calls.append(x) or x).cache(path)
    for _ in seen():
        break  # an incomplete pass leaves nothing
    assert not list((tmp_path / "made").iterdir())
    calls.clear()
    assert flat(seen()) == list("abcdefg") == calls
    assert flat(seen()) == list("abcdefg")
    assert (len(calls), seen().indexable, seen()[-1], len(seen())) == (7, True, "g", 7)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(FormatError, match="damaged or no cache"):
        flat(seen())


def test_padded_batches():
    ragged = Dataset.range(1, 4).map(lambda n: {"x": np.ones(int(n), np.float32), "n": n})
    batch = ragged.padded_batch(3, padding=-1)[0]
    np.testing.assert_array_equal(batch["x"], [[1, -1, -1], [1, 1, -1], [1, 1, 1]])
    assert (batch["n"].tolist(), batch["x"].dtype) == ([1, 2, 3], np.float32)
    with pytest.raises(ShapeError, match=r"sample 1\['x'\] has shape \(2,\), sample 0"):
        flat(ragged.batch(3))


def test_lists_of_numbers_are_padded_as_sequences():
    def padded(*samples, padding=0):
        (batch,) = Dataset.from_generator(lambda: samples).padded_batch(9, padding=padding)
        return batch

    for samples in (([1], [2, 3], []), ([1, 2], [3, 4], [5, 6])):  # whether of one length or not
        found = padded(*samples, padding=-1)
        expected = np.full((3, 2), -1)
        for row, sample in zip(expected, samples, strict=True):
            row[: len(sample)] = sample
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.int64
    mixed = padded(([1], 0.5, "a"), ([2.5, 3], 1.5, "b"))
    np.testing.assert_array_equal(mixed[0], np.float32([[1, 0], [2.5, 3]]))
    assert (mixed[0].dtype, mixed[1].tolist(), mixed[2]) == (np.float32, [0.5, 1.5], ["a", "b"])
    assert padded({"x": []}, {"x": []})["x"].shape == (2, 0)
    for wrong, told in (
        ([(1,), (1, 2)], r"padded_batch: sample 1 has entries 2, sample 0 1.*np.array"),
        ([{"a": [[1]]}, {"a": [[1], [2]]}], r"sample 1\['a'\] has entries 2, sample 0\['a'\] 1"),
        ([{"a": 1}, {"b": 1}], r"padded_batch: sample 1 has keys"),
        ([[1], 2], r"padded_batch: sample 1 is int, sample 0 list"),
    ):
        with pytest.raises(ShapeError, match=told):
            padded(*wrong)


def test_threads_end_with_their_reader():
    before = threading.active_count()
    endless = numbers(5).repeat().map(double, workers=2).prefetch(3)
    iterator = iter(endless)
    assert [int(next(iterator)) for _ in range(3)] == [0, 2, 4]
    iterator.close()
    assert threading.active_count() == before

    def fail(x):
        if x == 3:
            raise KeyError("three")
        return x

    for workers in (0, 2):
        with pytest.raises(KeyError, match="three") as caught:
            flat(numbers(5).map(fail, workers=workers).prefetch(1))
        assert caught.value.__notes__ == ["map: at element 3"]
    assert threading.active_count() == before


def test_pipelines_are_pickled():
    pipeline = numbers(9).shuffle(seed=0).map(double).cache().batch(2)
    expected = flat(pipeline)
    again = pickle.loads(pickle.dumps(pipeline))
    again.set_epoch(0)
    assert flat(again) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: d.batch(0), "batch_size is 0"),
        (lambda d: d.batch(2, drop_lost=True), "Did you mean 'drop_last'"),
        (lambda d: d.map(3), "got int; need a function"),
        (lambda d: d.filter(even).shuffle(), "is a stream; need buffer"),
        (lambda d: d.zip([1]), "got list; need datasets"),
        (lambda d: d.shard(2, 2), "index is 2 of 2"),
        (lambda d: d.filter(even)[0], "is a stream and has no index"),
        (lambda d: len(d.filter(even)), "only reading tells how many"),
        (lambda d: d[8], "index 8 of 8"),
        (lambda d: d.map(even)[8], "index 8 of 8"),
        (lambda d: flat(d.unbatch()), "need arrays with rows"),
        (lambda d: Dataset.from_generator(iter("ab")), "need a function that is called"),
        (lambda d: iter(d).load_state_dict({"epoch": 0}), "need what state_dict"),
        (lambda d: DataLoader(d.filter(even), shuffle=True), "iterable dataset and shuffle"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises((ValueError, TypeError, IndexError), match=message):
        make(numbers(8))
    assert issubclass(ArgumentError, ValueError)
