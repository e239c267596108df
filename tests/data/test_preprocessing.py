"""Words, windows and folders, against what Keras's own utilities give (KERAS.md)."""

import json
from pathlib import Path

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import ArgumentError, FormatError
from ambos.data import (
    TextVectorization,
    image_dataset_from_directory,
    text_dataset_from_directory,
    timeseries_dataset_from_array,
)

RECORDED = json.loads(Path(__file__).with_name("keras_preprocessing.json").read_text())


@pytest.mark.parametrize(
    "case", RECORDED["text_vectorization"], ids=lambda case: str(case["settings"])
)
def test_words_are_kerass(case):
    settings = dict(case["settings"])
    if isinstance(settings.get("ngrams"), list):
        settings["ngrams"] = tuple(settings["ngrams"])
    layer = TextVectorization(**settings)
    layer.adapt(am.data.Dataset.from_generator(lambda: iter(RECORDED["texts"])).batch(2))
    assert layer.get_vocabulary() == case["vocabulary"]
    assert layer.vocabulary_size() == case["size"]
    numbers = layer(RECORDED["more"])
    np.testing.assert_allclose(numbers, case["numbers"], rtol=1e-5)
    assert numbers.dtype == (np.int64 if settings.get("output_mode") is None else np.float32)
    again = TextVectorization(**settings, vocabulary=layer.get_vocabulary(), idf_weights=layer.idf)
    np.testing.assert_array_equal(again(np.array(RECORDED["more"])[:, None]), numbers)
    np.testing.assert_array_equal(
        again([RECORDED["more"][0].encode()]), again(RECORDED["more"][:1])
    )


def test_words_of_ones_own():
    layer = TextVectorization(
        standardize=str.upper, split=lambda text: text.split("-"), output_sequence_length=2
    )
    layer.adapt(["a-b", "b-c"])
    assert layer(["B-x-c"]).tolist() == [[2, 1]]
    assert layer.get_vocabulary(include_special_tokens=False) == ["B", "C", "A"]
    assert "5 words" in repr(layer)


def test_one_text_is_not_its_letters_and_a_file_has_a_word_a_line(tmp_path):
    layer = TextVectorization(ngrams=[1])
    layer.adapt("one text here, one")
    assert layer.get_vocabulary() == ["", "[UNK]", "one", "text", "here"]
    layer.adapt(b"two")
    assert layer.get_vocabulary() == ["", "[UNK]", "two"]
    file = tmp_path / "words.txt"
    file.write_bytes("caf\u00e9\r\nbar\n".encode())
    for path in (file, str(file)):
        assert TextVectorization(vocabulary=path)("bar caf\u00e9").tolist() == [3, 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TextVectorization()(["a"]), "no vocabulary yet"),
        (lambda: TextVectorization().adapt([]), "no texts"),
        (lambda: TextVectorization().adapt([("a", 1)]), "got int"),
        (lambda: TextVectorization().adapt([1, 2]), "adapt: got int; need texts"),
        (lambda: TextVectorization().adapt(["a", None]), "got NoneType among the texts"),
        (lambda: TextVectorization().adapt(["a", b"\xff"]), "text 1 has bytes that are no UTF-8"),
        (lambda: TextVectorization(ngrams=0), "ngrams"),
        (lambda: TextVectorization(ngrams=(2, -1)), "ngrams"),
        (lambda: TextVectorization(ngrams=()), "ngrams is empty"),
        (lambda: TextVectorization(vocabulary="abc"), "'abc' cannot be read .* words in a list"),
        (lambda: TextVectorization(vocabulary=["a", b"b"]), "got b'b' among the words"),
        (lambda: TextVectorization(vocabulary=["a"], idf_weights=[1.0]), "with output_mode='tf_id"),
        (lambda: TextVectorization(split="whitespaces"), "Did you mean 'whitespace'"),
        (lambda: TextVectorization(output_mode="counts"), "Did you mean 'count'"),
        (lambda: TextVectorization(output_mode="count", output_sequence_length=3), "goes with"),
        (lambda: TextVectorization(pad_to_max_tokens=True), "needs max_tokens"),
        (lambda: TextVectorization(vocabulary=["a", "b", "a"]), "'a' is there twice"),
        (lambda: TextVectorization(3, vocabulary=["a", "b"]), "4 words"),
        (lambda: TextVectorization(output_mode="tf_idf", vocabulary=["a"]), "idf_weights"),
    ],
)  # fmt: skip
def test_words_that_do_not_fit(call, message):
    with pytest.raises((ArgumentError, TypeError), match=message):
        call()


@pytest.mark.parametrize("case", RECORDED["timeseries"], ids=lambda case: str(case["settings"]))
def test_windows_are_kerass(case):
    x = np.arange(23, dtype=np.float32)
    later = case["targets"]
    settings = case["settings"]
    targets = None if later is None else 10 * x[later:]
    found = timeseries_dataset_from_array(x, targets, **settings)
    assert len(found) == len(case["windows"])
    for number, batch in enumerate(found):
        known, following = (batch, None) if targets is None else batch
        assert known.tolist() == case["windows"][number]
        assert following is None or following.tolist() == case["following"][number]
        whole = found[number]
        np.testing.assert_array_equal(whole if targets is None else whole[0], known)


def test_windows_in_random_order_are_the_same_windows():
    x = np.arange(60, dtype=np.float32).reshape(30, 2)
    settings = {"sequence_length": 4, "batch_size": 5}
    batches = timeseries_dataset_from_array(x, x[3:, 0], **settings, shuffle=True, seed=3)
    orders = []
    for _ in range(2):
        known, following = (np.concatenate(each) for each in zip(*batches, strict=True))
        assert known.shape == (27, 4, 2)
        np.testing.assert_array_equal(known[:, 3, 0], following)
        orders.append(following.tolist())
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == x[3:, 0].tolist()
    singles = timeseries_dataset_from_array(x, x[3:, 0], 4, batch_size=None, shuffle=True, seed=3)
    assert [float(following) for _, following in singles] == orders[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"sequence_length": 11}, "does not fit into 10 rows"),
     ({"sequence_length": 0}, "sequence_length"),
     ({"sequence_length": 2, "end_index": 11}, "rows 0 to 11 of 10"),
     ({"sequence_length": 2, "sampling_rate": 0}, "sampling_rate")],
)  # fmt: skip
def test_windows_that_do_not_fit(settings, message):
    with pytest.raises(ArgumentError, match=message):
        timeseries_dataset_from_array(np.arange(10), None, **settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Texts and images of three classes, one in a folder of its own below."""
    image = pytest.importorskip("PIL.Image")
    root = tmp_path_factory.mktemp("classes")
    numbers = np.random.RandomState(0)
    for kind, count in (("b", 4), ("a", 5), ("c", 3)):
        (root / kind / "deep").mkdir(parents=True)
        for number in range(count):
            place = root / kind / ("deep" if number == 2 else ".")
            (place / f"{number}.txt").write_text(
                f"{kind}{number} text \N{GREEK SMALL LETTER ALPHA}"
            )
            pixels = numbers.randint(0, 256, (6, 5, 3)).astype(np.uint8)
            image.fromarray(pixels).save(place / f"{number}.png")
    (root / ".hidden").mkdir()
    return root


@pytest.mark.parametrize("case", RECORDED["directories"], ids=lambda case: str(case["settings"]))
def test_texts_are_those_of_kerass_split(folder, case):
    settings = dict(case["settings"])
    if "subset" in settings:
        settings["validation_split"] = 0.3
    found = text_dataset_from_directory(folder, batch_size=None, **settings)
    assert [Path(path).relative_to(folder).as_posix() for path in found.file_paths] == case["files"]
    assert found.class_names == case["names"]
    texts = [(folder / path).read_text() for path in case["files"]]
    known = dict(zip(texts, case["labels"], strict=True))
    assert {text: int(label) for text, label in found} == known
    assert settings.get("shuffle", True) or [text for text, _ in found] == texts


def test_both_parts_at_once_and_texts_cut(folder):
    split = {"validation_split": 0.3, "subset": "both"}
    training, validation = text_dataset_from_directory(folder, **split, max_length=2)
    assert sorted(training.file_paths + validation.file_paths) == sorted(
        map(str, folder.rglob("*.txt"))
    )
    assert len(training) == len(validation) == 1
    ((texts, _),) = validation
    assert texts == [Path(path).read_text()[:2] for path in validation.file_paths]


def test_labels_as_they_are_wanted(folder):
    settings = {"shuffle": False, "batch_size": 16}
    ((_, rows),) = text_dataset_from_directory(folder, label_mode="categorical", **settings)
    assert (rows.shape, rows.dtype) == ((12, 3), np.float32)
    assert rows.argmax(1).tolist() == [0] * 5 + [1] * 4 + [2] * 3
    two = {"class_names": ["a", "c"], "label_mode": "binary", **settings}
    ((_, column),) = text_dataset_from_directory(folder, **two)
    assert column.tolist() == [[0.0]] * 5 + [[1.0]] * 3
    (texts,) = text_dataset_from_directory(folder, labels=None, **settings)
    assert len(texts) == 12
    ((_, given),) = text_dataset_from_directory(folder, labels=list(range(12)), **settings)
    assert given.tolist() == list(range(12))


def test_images_of_one_size(folder):
    image = pytest.importorskip("PIL.Image")
    settings = {"shuffle": False, "batch_size": 16}
    ((same, labels),) = image_dataset_from_directory(folder, image_size=(6, 5), **settings)
    assert (same.shape, same.dtype, labels.shape) == ((12, 3, 6, 5), np.float32, (12,))
    with image.open(folder / "a" / "0.png") as first:
        np.testing.assert_array_equal(same[0], np.asarray(first, np.float32).transpose(2, 0, 1))
    ((grey, _),) = image_dataset_from_directory(
        folder, image_size=(4, 4), color_mode="grayscale", crop_to_aspect_ratio=True, **settings
    )
    assert grey.shape == (12, 1, 4, 4)
    assert 0 <= grey.min() < grey.max() <= 255
    ((cropped, _),) = image_dataset_from_directory(
        folder, image_size=(4, 5), interpolation="nearest", crop_to_aspect_ratio=True, **settings
    )
    np.testing.assert_array_equal(cropped, same[:, :, 1:5])


def test_folders_that_do_not_fit(folder, tmp_path):
    split = {"validation_split": 0.2, "subset": "training"}
    for settings, message in (
        ({"directory": folder / "none"}, "no folder"),
        ({"directory": tmp_path}, "no files"),
        ({"class_names": ["a", "d"]}, "'d'; the folders are a, b, c"),
        ({"label_mode": "binary"}, "3 classes; need two"),
        ({"label_mode": "ints"}, "Did you mean 'int'"),
        ({"labels": [1, 2]}, "2 labels for 12 files"),
        ({"labels": None, "class_names": ["a"]}, "labels='inferred' only"),
        ({"validation_split": 0.2}, "go together"),
        (split, "need a seed"),
        ({**split, "subset": "train", "seed": 1}, "Did you mean 'training'"),
        ({**split, "validation_split": 0.01, "seed": 1}, "leaves a side empty"),
    ):
        with pytest.raises(ArgumentError, match=message):
            text_dataset_from_directory(**{"directory": folder, **settings})
    for settings, message in (({"color_mode": "rgbx"}, "Did you mean 'rgb"),
                              ({"interpolation": "linear"}, "Did you mean 'bilinear'"),
                              ({"image_size": (4,)}, "height, width")):  # fmt: skip
        with pytest.raises(ArgumentError, match=message):
            image_dataset_from_directory(folder, **settings)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match=r"x\.txt is not UTF-8"):
        next(iter(text_dataset_from_directory(tmp_path)))


def test_datasets_with_rows_of_their_own():
    """`rows` is a name that people use: it says nothing about how a dataset is read."""

    class Lines(am.data.Dataset):
        def __init__(self):
            self.rows = [1.0, 2.0, 3.0]

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, index):
            return self.rows[index]

    for batches in (Lines().batch(2), am.data.DataLoader(Lines(), batch_size=2)):
        assert [batch.tolist() for batch in batches] == [[1.0, 2.0], [3.0]]
