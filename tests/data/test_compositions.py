"""Random pipelines beside lists: all elements, by index, from any place on, and in shares."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ambos.data import Dataset
from ambos.data.selection import share_of

SMALL = st.integers(0, 4)


def chunks(rows, size, drop):
    found = [rows[i : i + size] for i in range(0, len(rows), size)]
    return [row for row in found if len(row) == size or not drop]


def windows(rows, size, shift, drop):
    found = [rows[i : i + size] for i in range(0, len(rows), shift)]
    return [row for row in found if len(row) == size or not drop]


def total(x):
    return int(np.sum(x))


def is_even(x):
    return total(x) % 2 == 0


def numbered(pair):
    return total(pair[0]) * 100 + total(pair[1])


STAGES = st.one_of(
    st.tuples(st.just("map")),
    st.tuples(st.just("filter")),
    st.tuples(st.just("batch"), st.integers(1, 4), st.booleans()),
    st.tuples(st.just("window"), st.integers(1, 3), st.integers(1, 3), st.booleans()),
    st.tuples(st.just("take"), SMALL.map(lambda n: 3 * n)),
    st.tuples(st.just("skip"), SMALL),
    st.tuples(st.just("shard"), st.integers(1, 3), st.integers(0, 0)),
    st.tuples(st.just("repeat"), st.integers(0, 3)),
    st.tuples(st.just("enumerate")),
    st.tuples(st.just("zip"), SMALL),
    st.tuples(st.just("concatenate"), SMALL),
    st.tuples(st.just("cache")),
    st.tuples(st.just("unbatch")),
)


def applied(dataset, rows, stage):
    """The stage on a dataset and on a list of integers."""
    name, *facts = stage
    if name == "map":
        return dataset.map(total), rows
    if name == "filter":
        return dataset.filter(is_even), [x for x in rows if x % 2 == 0]
    if name == "batch":
        return dataset.batch(*facts).map(total), [sum(c) for c in chunks(rows, *facts)]
    if name == "window":
        size, shift, drop = facts
        expected = [sum(w) for w in windows(rows, size, shift, drop)]
        return dataset.window(size, shift, 1, drop).map(total), expected
    if name == "take":
        return dataset.take(*facts), rows[: facts[0]]
    if name == "skip":
        return dataset.skip(*facts), rows[facts[0] :]
    if name == "shard":
        return dataset.shard(*facts), rows[facts[1] :: facts[0]]
    if name == "repeat":
        return dataset.repeat(*facts), rows * facts[0]
    if name == "enumerate":
        return dataset.enumerate().map(lambda pair: numbered(pair)), [
            100 * n + x for n, x in enumerate(rows)]  # fmt: skip
    if name == "zip":
        pairs = zip(rows, rows[facts[0] :], strict=False)
        both = dataset.zip(dataset.skip(facts[0])).map(lambda pair: numbered(pair))
        return both, [100 * a + b for a, b in pairs]
    if name == "concatenate":
        return dataset + dataset.take(*facts), rows + rows[: facts[0]]
    if name == "cache":
        return dataset.cache(), rows
    return dataset.batch(3).unbatch(), rows


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.booleans(), st.integers(0, 13), st.lists(STAGES, min_size=1, max_size=4), st.data())
def test_pipelines_are_what_lists_are(indexed, count, stages, data):
    def make():
        dataset = Dataset.range(count) if indexed else Dataset.from_generator(range, (count,))
        expected = list(range(count))
        for stage in stages:
            dataset, expected = applied(dataset, expected, stage)
        return dataset, expected

    dataset, expected = make()
    assert [int(x) for x in dataset] == expected
    if dataset.indexable:
        assert [int(dataset[i]) for i in range(len(dataset))] == expected
    position = data.draw(st.integers(0, len(expected)))
    for again in (make()[0], dataset):  # caches are empty, or full
        cursor = iter(again)
        cursor.load_state_dict({"epoch": 0, "position": position, "seed": 0})
        assert [int(x) for x in cursor] == expected[position:]
        workers, size = data.draw(st.tuples(st.integers(2, 3), st.integers(1, 3)))
        skip = data.draw(st.integers(0, 1))
        for worker in range(workers):
            share = again.stream(0, 0, share_of(worker, workers, skip, size))
            blocks = chunks(expected, size, False)[worker::workers][skip:]
            assert [int(x) for x in share] == [x for block in blocks for x in block]
