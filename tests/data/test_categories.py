"""Categories as numbers, against what Keras's layers give (KERAS.md)."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import ArgumentError, ShapeError
from ambos.data import (
    CategoryEncoding,
    DataLoader,
    Dataset,
    Discretization,
    Hashing,
    IntegerLookup,
    StringLookup,
)
from ambos.data.hashing import buckets
from ambos.data.vocabulary import encode

RECORDED = json.loads(Path(__file__).with_name("keras_categories.json").read_text())
SETTINGS = {"ids": lambda case: str(case["settings"])}


@pytest.mark.parametrize("kind", [StringLookup, IntegerLookup])
def test_lookups_are_kerass(kind):
    words = kind is StringLookup
    rows = RECORDED["words" if words else "integers"]
    more = RECORDED["more_words" if words else "more_integers"]
    for case in RECORDED["string_lookup" if words else "integer_lookup"]:
        settings = case["settings"]
        lookup = kind(**settings)
        lookup.adapt(Dataset.from_generator(lambda: map(np.array, rows)).batch(2))
        assert (settings, lookup.get_vocabulary()) == (settings, case["vocabulary"])
        assert lookup.vocabulary_size() == case["size"]
        numbers = lookup(more)
        np.testing.assert_allclose(numbers, case["numbers"], rtol=1e-6, err_msg=str(settings))
        is_number = settings.get("output_mode", "int") == "int"
        assert numbers.dtype == (np.int64 if is_number else np.float32)
        np.testing.assert_allclose(lookup([row[:1] for row in more]), case["column"], rtol=1e-6)
        whole = kind(**settings)
        whole.adapt(np.array(rows))
        again = pickle.loads(pickle.dumps(whole))
        np.testing.assert_array_equal(again(np.array(more)), numbers)
        given = kind(**settings, vocabulary=lookup.get_vocabulary(),
                     idf_weights=lookup.vocabulary.weights)  # fmt: skip
        np.testing.assert_array_equal(given(np.array(more, object)), numbers)


@pytest.mark.parametrize("case", RECORDED["hashing"], **SETTINGS)
def test_hashes_are_kerass(case):
    layer = Hashing(**case["settings"])
    np.testing.assert_array_equal(layer(case["inputs"]), case["numbers"])
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(layer))(np.array(case["inputs"])), case["numbers"]
    )


@pytest.mark.parametrize("case", RECORDED["discretization"], **SETTINGS)
def test_bins_are_kerass(case):
    data = np.array(RECORDED["data"])
    layer = Discretization(**case["settings"])
    layer.adapt(data)
    np.testing.assert_allclose(layer.bin_boundaries, case["whole"], rtol=1e-6)
    layer.adapt(Dataset.from_tensor_slices(data))  # a row is a batch here
    np.testing.assert_allclose(layer.bin_boundaries, case["boundaries"], rtol=1e-6)
    np.testing.assert_array_equal(layer(data[:2, :6]), case["numbers"])


@pytest.mark.parametrize("case", RECORDED["given_boundaries"], ids=lambda case: case["mode"])
def test_given_bins_are_kerass(case):
    layer = Discretization([0.0, 0.5, 1.0], output_mode=case["mode"])
    np.testing.assert_array_equal(layer(case["inputs"]), case["numbers"])


def test_encodings_are_kerass():
    for case in RECORDED["category_encoding"]:
        layer = CategoryEncoding(4, case["mode"])
        found = layer(np.array(case["inputs"]), case.get("weights"))
        np.testing.assert_array_equal(found, case["numbers"])
        assert found.dtype == np.float32


def test_encodings_of_more_axes():
    numbers = np.array([[[0, 2], [1, -1]], [[2, 2], [0, 1]]])
    hot = np.eye(3)[numbers] * (numbers >= 0)[..., None]
    np.testing.assert_array_equal(encode(numbers, "one_hot", 3), hot)
    np.testing.assert_array_equal(encode(numbers, "count", 3), hot.sum(2))
    np.testing.assert_array_equal(encode(numbers, "multi_hot", 3), hot.max(2))
    assert encode(np.array(2), "one_hot", 3).tolist() == [0, 0, 1]
    assert encode(np.zeros((0, 2), np.int64), "count", 3).shape == (0, 3)


def test_there_and_back():
    names = np.array([["red", "blue"], ["blue", "grün"]])
    lookup = StringLookup(mask_token="", num_oov_indices=2)
    lookup.adapt(names)
    back = StringLookup(vocabulary=lookup.get_vocabulary(), mask_token="", num_oov_indices=2,
                        invert=True)  # fmt: skip
    assert back(lookup(names)).tolist() == names.tolist()
    assert back([0, 1, 2, 99, -3]).tolist() == ["", "[UNK]", "[UNK]", "[UNK]", "[UNK]"]
    assert (back(3), lookup("blue")) == ("blue", 3)
    integers = IntegerLookup(vocabulary=[7, -3], invert=True)
    assert integers(np.array([[2, 1, 0]])).tolist() == [[-3, 7, -1]]


def test_hashes_of_one_length_or_many_are_the_same():
    texts = ["x" * (n % 150) + str(n) for n in range(400)]
    for salt in (None, (1, 2)):
        together = buckets(texts, 2**62, salt).tolist()
        assert together == [buckets([text], 2**62, salt)[0] for text in texts]
        assert len(set(together)) == len(texts)


def test_columns_of_pandas_are_taken():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"color": ["red", "blue", "red"], "size": [1, 2, 1]})
    for column in (table["color"], table["color"].astype("category"), table["color"].values):
        lookup = StringLookup(output_mode="one_hot")
        lookup.adapt(column)
        assert lookup(column).tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 0]]
        assert Hashing(9)(column).tolist() == Hashing(9)(["red", "blue", "red"]).tolist()
    sizes = IntegerLookup()
    sizes.adapt(table[["size"]])
    assert sizes(table["size"].astype("Int64")).tolist() == [1, 2, 1]
    with pytest.raises(ArgumentError, match="nan in row 1; need finite"):
        sizes(pandas.Series([1, None]))
    with pytest.raises(ArgumentError, match="in row 1; need"):
        sizes(pandas.Series([1, None], dtype="Int64"))
    with pytest.raises(ArgumentError, match="nan in row 2; need strings"):
        StringLookup().adapt(pandas.Series(["a", "b", None], dtype="object").fillna(np.nan))
    holes = pandas.DataFrame({"a": [1.0, 2.0], "b": [1.0, np.nan]})
    with pytest.raises(ArgumentError, match=r"nan in column 1 \('b'\), row 1; need finite"):
        Discretization(num_bins=2).adapt(holes)


class Encoded:
    """A row of a table as a model takes it."""

    def __init__(self, color, size):
        self.color, self.size = color, size

    def __call__(self, color, size, target):
        return np.concatenate([self.color(color), self.size(size)]), target


def test_layers_in_a_pipeline_with_workers_and_fit():
    numbers = np.random.default_rng(0)
    colors = np.array(["red", "green", "blue"])[numbers.integers(3, size=96)]
    sizes = numbers.normal(size=96)
    targets = (colors == "red").astype(np.int64)
    color = StringLookup(output_mode="one_hot")
    size = Discretization(num_bins=3, output_mode="one_hot")
    color.adapt(colors)
    size.adapt(sizes)
    rows = list(zip(colors.tolist(), sizes, targets, strict=True))
    pipeline = Dataset.from_generator(rows.__iter__, length=96).map(Encoded(color, size))
    batches = list(DataLoader(pipeline, batch_size=32, num_workers=2))
    expected = np.concatenate([color(colors), size(sizes)], 1)
    np.testing.assert_array_equal(np.concatenate([x.numpy() for x, _ in batches]), expected)
    am.manual_seed(0)
    model = am.Sequential([am.nn.LazyLinear(2)])
    model.compile(am.optim.Adam(lr=0.1), "cross_entropy", metrics=["accuracy"])
    history = model.fit(pipeline.batch(32), epochs=12, verbose=0).history
    assert history["accuracy"][-1] == 1.0


def test_text_that_no_lookup_made_numbers_of_is_told():
    model = am.Model(am.nn.Linear(2, 1))
    model.compile("sgd", "mse")
    x, words = np.ones((4, 2), np.float32), np.array(["a"] * 4)
    told = "need numbers: am.data.StringLookup makes these of words"
    for data in (
        Dataset.from_tensor_slices((x, words)).batch(2),
        DataLoader((x, words), batch_size=2),
        DataLoader((words, x), batch_size=2),
    ):
        with pytest.raises(ArgumentError, match=told):
            model.fit(data, verbose=0)
    with pytest.raises(ArgumentError, match=told):
        model.fit(x, words, verbose=0)


def test_columns_of_text_beside_numbers():
    names, sizes = np.array(["a", "bb", "ccc"]), np.arange(3.0)
    table = {"name": names, "size": sizes}
    rows = Dataset.from_tensor_slices((table, [1, 2, 3]))
    assert rows[1] == ({"name": "bb", "size": 1.0}, 2)
    (first, target), last = rows.batch(2)
    assert first["name"] == ["a", "bb"]
    assert target.tolist() == [1, 2]
    assert last[0]["name"] == ["ccc"]
    for dataset in (Dataset.from_tensor_slices(table), rows.map(lambda row, target: row)):
        for workers in (0, 1):
            context = "fork" if workers else None  # a lambda
            batches = list(DataLoader(dataset, batch_size=2, num_workers=workers,
                                      multiprocessing_context=context))  # fmt: skip
            assert [batch["name"] for batch in batches] == [["a", "bb"], ["ccc"]]
            assert batches[0]["size"].tolist() == [0, 1]
    assert next(iter(DataLoader((names, sizes), batch_size=3)))[0] == ["a", "bb", "ccc"]
    with pytest.raises(ShapeError, match=r"the parts have \[2, 3\] rows"):
        Dataset.from_tensor_slices((table, [1, 2]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: StringLookup()(["a"]), "StringLookup: has no vocabulary yet"),
        (lambda: StringLookup().adapt([]), "got no data"),
        (lambda: StringLookup().adapt([["a"], ["b", 2]]), "several lengths"),
        (lambda: StringLookup().adapt([["a", "c"], ["b", 2]]), "2 in row 1, column 1; need str"),
        (lambda: StringLookup().adapt(Dataset.from_generator(lambda: iter([{"x": "a"}]))), "dict"),
        (lambda: StringLookup().adapt([b"\xff"]), "bytes in row 0 that are no UTF-8"),
        (lambda: StringLookup(vocabulary=["a", "a"]), "'a' is there twice"),
        (lambda: StringLookup(vocabulary=["a", 1]), "got 1 among the words"),
        (lambda: StringLookup(vocabulary=["a"], mask_token="a"), "'a' is there twice or out"),
        (lambda: StringLookup(vocabulary=["a"], num_oov_indices=0)(["a", "b"]), "'b' in row 1 is"),
        (lambda: StringLookup(output_mode="onehot"), "Did you mean 'one_hot'"),
        (lambda: StringLookup(invert=True, output_mode="count"), "invert goes with"),
        (lambda: StringLookup(invert=True, oov_token=None), "invert needs oov_token"),
        (lambda: StringLookup(pad_to_max_tokens=True), "needs max_tokens"),
        (lambda: StringLookup(max_tokens=1), "max_tokens is 1"),
        (lambda: StringLookup(max_tokens=2, vocabulary=["a", "b"]), "3 words"),
        (lambda: StringLookup(mask_token=0), "mask_token is 0; need str"),
        (lambda: StringLookup(salt="a"), "salt is 'a'; need an integer"),
        (lambda: StringLookup(output_mode="tf_idf", vocabulary=["a"]), "need idf_weights"),
        (lambda: IntegerLookup(salt=1), "salt goes with oov_method='farmhash'"),
        (lambda: IntegerLookup(oov_method="mod"), "oov_method is 'mod'"),
        (lambda: IntegerLookup(vocabulary=[1, True]), "got True among the integers"),
        (lambda: IntegerLookup().adapt([[1.0, 2.5]]), "2.5 in row 0, column 1; need integers: Dis"),
        (lambda: IntegerLookup().adapt(["a"]), "'a' in row 0; need integers"),
        (lambda: IntegerLookup().adapt(np.array([2**63], np.uint64)), "64 bits"),
        (lambda: IntegerLookup().adapt([10**30]), "got 10{30}; need numbers that fit"),
        (lambda: Hashing(0), "num_bins is 0"),
        (lambda: Hashing(1, mask_value=""), "num_bins is 1; need an integer of at least 2"),
        (lambda: Hashing(3)(["a", None]), "None in row 1; need strings"),
        (lambda: CategoryEncoding(3)([[0, 3]]), "3 in row 0, column 1; need 0 to 2"),
        (lambda: CategoryEncoding(3, "int"), "output_mode is 'int'"),
        (lambda: CategoryEncoding(3)([[0]], count_weights=[[1]]), "with output_mode='count'"),
        (lambda: CategoryEncoding(3, "count")([[0]], count_weights=[1]), "equal shapes"),
        (lambda: Discretization(), "neither of bin_boundaries and num_bins"),
        (lambda: Discretization([1.0], 3), "both of bin_boundaries"),
        (lambda: Discretization([1.0, 0.0]), "do not ascend"),
        (lambda: Discretization([1.0]).adapt([1.0]), "need num_bins"),
        (lambda: Discretization(num_bins=3)([1.0]), "no boundaries yet"),
        (lambda: Discretization(num_bins=3).adapt([]), "got no data"),
        (lambda: Discretization(num_bins=3).adapt(["a"]), "'a' in row 0; need numbers"),
        (lambda: Discretization(num_bins=3, epsilon=0), "0 < epsilon < 1"),
        (lambda: Discretization([1.0])([[1.0, np.nan]]), "nan in column 1, row 0"),
        (lambda: Discretization(num_bins=2).adapt(iter([[1.0, 2.0], [np.inf]])), "inf in row 2"),
    ],
)  # fmt: skip
def test_categories_that_do_not_fit(call, message):
    with pytest.raises((ArgumentError, ShapeError), match=message):
        call()


def test_a_vocabulary_in_a_file(tmp_path):
    file = tmp_path / "zahlen.txt"
    file.write_text("10\n-3\n")
    assert IntegerLookup(vocabulary=file)([-3, 10, 4]).tolist() == [2, 1, 0]
    file.write_text("10\nx\n")
    with pytest.raises(ArgumentError, match="got 'x' among the integers"):
        IntegerLookup(vocabulary=str(file))
