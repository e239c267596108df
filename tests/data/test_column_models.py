"""Layers for columns inside models: as operations on tensors, against Keras's (KERAS.md)."""

import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError, DTypeError, FormatError, IndexingError, ShapeError
from ambos.data import (
    CategoryEncoding,
    Discretization,
    Hashing,
    IntegerLookup,
    StringLookup,
    TextVectorization,
)
from ambos.data.decimals import buckets
from ambos.data.hashing import buckets as buckets_of_texts

RECORDED = json.loads(Path(__file__).with_name("keras_categories.json").read_text())
EDGES = [0.1, 0.3, 0.7]


def test_integer_lookups_of_tensors_are_kerass():
    more = np.array(RECORDED["more_integers"])
    for case in RECORDED["integer_lookup"]:
        lookup = IntegerLookup(**case["settings"])
        lookup.adapt(np.array(RECORDED["integers"]))
        if not lookup.num_oov_indices:
            continue  # test_what_has_no_place_is_told
        for given, wanted in ((more, case["numbers"]), (more[:, :1], case["column"])):
            found = lookup(am.tensor(given))
            np.testing.assert_allclose(found, wanted, rtol=1e-6, err_msg=str(case["settings"]))
            assert found.dtype is (am.int64 if lookup.output_mode == "int" else am.float32)


def test_lookups_of_tensors_are_those_of_arrays():
    column = np.array([7, -3, 5, 0, -1, 2**62])
    for settings in (
        {"vocabulary": []},
        {"vocabulary": [5, 7], "mask_token": 0},
        {"vocabulary": [5, 7], "mask_token": 0, "output_mode": "count"},
        {"vocabulary": [5, 7], "num_oov_indices": 3},
        {"vocabulary": [5, 7], "num_oov_indices": 3, "oov_method": "farmhash"},
        {"vocabulary": [5, 7], "num_oov_indices": 3, "oov_method": "farmhash", "salt": 4},
        {"vocabulary": [5], "output_mode": "multi_hot", "max_tokens": 5, "pad_to_max_tokens": True},
        {"vocabulary": [5, 7], "output_mode": "tf_idf", "idf_weights": [0.5, 2.0]},
    ):
        lookup = IntegerLookup(**settings)
        for given in (column, column[:, None], column.reshape(2, 3)):
            np.testing.assert_array_equal(lookup(am.tensor(given)), lookup(given), str(settings))
    back = IntegerLookup(vocabulary=[7, -3], invert=True)
    assert back(am.tensor([[2, 1], [0, 99], [-1, 3]])).tolist() == [[-3, 7], [-1, -1], [-1, -1]]
    none = IntegerLookup(vocabulary=[], num_oov_indices=0, oov_token=-5, invert=True)
    assert none(am.tensor([0, 1])).tolist() == [-5, -5]


def test_hashes_of_tensors_are_those_of_decimals():
    draw = np.random.default_rng(0)
    sizes = [draw.integers(0, 10**digits, 9, endpoint=True) for digits in range(1, 19)]
    ends = [2**63 - 1, -(2**63), 0, -1, 9, 10, 99, 100, -9, -10, -99, -100, 10**18, -(10**18)]
    numbers = np.concatenate([*sizes, *(-size for size in sizes), ends])
    for salt in (None, (3, 9), (2**63 + 5, -1)):
        wanted = buckets_of_texts(map(str, numbers.tolist()), 2**40, salt)
        np.testing.assert_array_equal(buckets(am.tensor(numbers), 2**40, salt), wanted)
    for settings in ({}, {"mask_value": 5}, {"mask_value": "05"}, {"mask_value": "5"},
                     {"output_mode": "multi_hot"}):  # fmt: skip
        layer, given = Hashing(7, **settings), np.array([[5, 1], [-2, 30]])
        np.testing.assert_array_equal(layer(am.tensor(given)), layer(given))
    small = np.array([3, 200], np.uint8)
    assert Hashing(9)(am.tensor(small)).tolist() == Hashing(9)(small).tolist()


def test_encodings_of_tensors_are_kerass():
    for case in RECORDED["category_encoding"]:
        weights = case.get("weights")
        given = None if weights is None else am.tensor(weights)
        layer = CategoryEncoding(4, case["mode"])
        for weight in (weights, given):
            found = layer(am.tensor(case["inputs"]), weight)
            np.testing.assert_array_equal(found, case["numbers"])
            assert found.dtype is am.float32
    scalar = CategoryEncoding(3, "one_hot")(am.tensor(2))
    assert scalar.tolist() == [0, 0, 1]


def keras_layers():
    keras = pytest.importorskip("keras")
    return keras.layers


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
def test_bins_are_those_of_keras(mode):
    layer = Discretization(EDGES, output_mode=mode)
    theirs = keras_layers().Discretization(EDGES, output_mode=mode)
    # In float32 0.7 is less than in Python.
    given = np.array([[0.1, 0.3], [0.7, 0.05], [0.29, 9.0]], np.float32)
    for numbers in (given, given[:, :1], given[:, 0]):
        wanted = np.asarray(theirs(numbers))
        np.testing.assert_array_equal(layer(numbers), wanted)
        np.testing.assert_array_equal(layer(am.tensor(numbers)), wanted)
    assert layer(np.array([[0.7]]))[0].tolist() == layer(am.tensor(np.array([[0.7]])))[0].tolist()
    whole = Discretization([2.0, 2.0**53], output_mode=mode)
    for numbers in (np.array([[1, 2], [3, 2**53]]), np.array([[1, 2], [7, 3]], np.int8)):
        np.testing.assert_array_equal(whole(am.tensor(numbers)), whole(numbers))


def layers_of_a_table():
    """Those of a model that takes ages, codes and places as they come."""
    age = Discretization(num_bins=4, output_mode="one_hot")
    age.adapt(np.arange(90.0))
    code = IntegerLookup(vocabulary=[10, 30, 20])
    return age, code, Hashing(5, output_mode="one_hot"), CategoryEncoding(3, "count")


def model_of_a_table():
    age, code, place, parts = layers_of_a_table()
    given = {
        "age": am.Input((1,), name="age"),
        "code": am.Input((1,), dtype="int64", name="code"),
        "part": am.Input((None,), dtype="int64", name="part"),
        "place": am.Input((1,), dtype="int64", name="place"),
    }
    known = nn.Embedding(4, 3)(code(given["code"]))[:, 0]
    joined = am.concatenate(
        [age(given["age"]), known, place(given["place"]), parts(given["part"])], 1
    )
    return am.Model(inputs=given, outputs=nn.Linear(4 + 3 + 5 + 3, 2)(joined))


def table(rows):
    draw = np.random.default_rng(rows)
    return {
        "age": draw.uniform(-5, 99, (rows, 1)).astype(np.float32),
        "code": draw.integers(9, 32, (rows, 1)),
        "part": draw.integers(0, 3, (rows, 2)),
        "place": draw.integers(-900, 900, (rows, 1)),
    }


def test_layers_in_a_functional_model_that_is_trained_saved_and_loaded(tmp_path):
    am.manual_seed(0)
    model, data = model_of_a_table(), table(32)
    age, code, place, parts = layers_of_a_table()
    linear = model.get_layer("linear")
    rows = np.concatenate(
        [age(data["age"]), model.get_layer("embedding").weight.numpy()[code(data["code"])[:, 0]],
         place(data["place"]), parts(data["part"])], 1
    )  # fmt: skip
    wanted = rows @ linear.weight.numpy().T + linear.bias.numpy()
    np.testing.assert_allclose(model.predict(data), wanted, rtol=1e-5, atol=1e-6)
    model.compile(am.optim.Adam(lr=0.1), "cross_entropy", metrics=["accuracy"])
    labels = (data["code"][:, 0] == 20).astype(np.int64)
    history = model.fit(data, labels, epochs=20, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 2
    path = model.save(tmp_path / "table")
    again = am.Model.load(path)
    np.testing.assert_array_equal(again.predict(table(7)), model.predict(table(7)))


def test_layers_are_traced_jitted_and_mapped():
    age, code, place, parts = layers_of_a_table()
    data = {name: am.tensor(column) for name, column in table(6).items()}

    def together(age_, code_, part_, place_):
        numbers = [age(age_), code(code_).to(am.float32), place(place_), parts(part_)]
        return am.concatenate(numbers, -1)

    wanted = together(*data.values()).numpy()
    step = am.jit(together)
    for _ in range(2):
        np.testing.assert_array_equal(step(*data.values()), wanted)
    for layer, name in ((code, "code"), (Hashing(9), "part"), (parts, "part")):
        found = am.vmap(layer)(data[name])
        np.testing.assert_array_equal(found, layer(data[name]))


def test_what_has_no_place_is_told():
    layer = CategoryEncoding(3)
    with pytest.raises(IndexingError, match="3 is out of range for axis 0 of size 3"):
        layer(am.tensor([[0, 3]])).numpy()
    with pytest.raises(IndexingError, match="-1 is out of range"):
        layer(am.tensor([[0, -1]])).numpy()
    with pytest.raises(DTypeError, match=r"CategoryEncoding: got float32; need integers: x.to"):
        layer(am.Input((2,)))
    with pytest.raises(DTypeError, match=r"IntegerLookup: got float32; .*dtype='int64'"):
        IntegerLookup(vocabulary=[1])(am.Input((2,)))
    with pytest.raises(DTypeError, match=r"Hashing: got float32; need integers"):
        Hashing(3)(am.ones(2))
    with pytest.raises(ArgumentError, match="num_oov_indices is 0, so an integer"):
        IntegerLookup(vocabulary=[1], num_oov_indices=0)(am.tensor([1]))
    with pytest.raises(ShapeError, match=r"count_weights are \(2,\), inputs \(1, 2\)"):
        CategoryEncoding(3, "count")(am.tensor([[0, 1]]), [1, 2])


def test_strings_are_looked_up_in_the_data():
    lookup = StringLookup(vocabulary=["a"])
    with pytest.raises(ArgumentError, match=r"StringLookup: got a tensor.*dataset\.map\(lambda"):
        lookup(am.Input((1,), dtype="int64"))
    with pytest.raises(ArgumentError, match=r"got a tensor.*dataset\.map\(lambda"):
        TextVectorization(vocabulary=["a"])(am.Input((1,), dtype="int64"))
    for name in ("string", str, "str", np.str_):
        with pytest.raises(DTypeError, match=r"Input: .*no tensor has strings.*StringLookup"):
            am.Input((1,), dtype=name)
    with pytest.raises(ArgumentError, match=r"layer '0': Discretization.*am\.Model\(inputs=x"):
        am.Sequential([Discretization([0.0]), nn.Linear(1, 1)])


def saved(layer, tmp_path):
    layer.save(tmp_path / "layer.json")
    again = type(layer).load(tmp_path / "layer.json")
    assert repr(again) == repr(layer)
    return again


def test_layers_in_files(tmp_path):
    colors, sizes = ["red", "grün", "red", "\ud800"], np.array([[3, 5], [3, 2**62]])
    for settings in (
        {},
        {"mask_token": "", "num_oov_indices": 3, "salt": (1, 2)},
        {"output_mode": "tf_idf", "max_tokens": 5, "pad_to_max_tokens": True},
    ):
        lookup = StringLookup(**settings)
        lookup.adapt(colors)
        again = saved(lookup, tmp_path)
        assert again.get_vocabulary() == lookup.get_vocabulary()
        np.testing.assert_array_equal(again([*colors, "x", ""]), lookup([*colors, "x", ""]))
    for settings in ({}, {"num_oov_indices": 2, "oov_method": "farmhash"}):
        lookup = IntegerLookup(**settings)
        lookup.adapt(sizes)
        np.testing.assert_array_equal(saved(lookup, tmp_path)(sizes + 1), lookup(sizes + 1))
    text = TextVectorization(ngrams=2, output_mode="tf_idf")
    text.adapt(["a b", "b c d"])
    np.testing.assert_array_equal(saved(text, tmp_path)(["c d b"]), text(["c d b"]))
    bins = Discretization(num_bins=7)
    bins.adapt(np.random.default_rng(0).normal(size=99))
    assert saved(bins, tmp_path).bin_boundaries == bins.bin_boundaries
    for layer in (Hashing(9, 3, (4, 5)), Hashing(np.int64(9), np.int64(3)), StringLookup(),
                  CategoryEncoding(3, "count"), StringLookup(max_tokens=np.int32(7))):  # fmt: skip
        assert saved(layer, tmp_path).settings() == layer.settings()


def test_files_that_do_not_fit_are_told(tmp_path):
    file = tmp_path / "layer.json"
    with pytest.raises(FormatError, match=r"StringLookup\.load: .*No such file"):
        StringLookup.load(file)
    IntegerLookup(vocabulary=[3]).save(file)
    before = file.read_bytes()
    with pytest.raises(FormatError, match=r"it has a IntegerLookup\); need what StringLookup\.s"):
        StringLookup.load(file)
    with pytest.raises(ArgumentError, match=r"save: standardize is a function, .*pickle"):
        TextVectorization(standardize=str.upper).save(file)
    assert file.read_bytes() == before
    for content in (b"\xff", b"[]", before[:-9], before.replace(b"-1", b"-9", 1),
                    before.replace(b"num_oov", b"num_ovo")):  # fmt: skip
        file.write_bytes(content)
        with pytest.raises(FormatError, match=r"layer\.json cannot be read \("):
            IntegerLookup.load(file)
