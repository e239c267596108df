"""Readers of files, against what the libraries that wrote them say."""

import gzip
import io
import json
import os
import pickle
import sys
import tarfile

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest
from PIL import Image

from ambos import data
from ambos.core.errors import ArgumentError, FormatError
from ambos.data.tfrecord import frame

# Written by TensorFlow 2.21: two records of tf.train.Example.
TFRECORD = bytes.fromhex(
    "51000000000000009ca1d9bc0a4f0a0c0a02696412061a040a0200000a100a046d616e7912080a060a01610a01620a0e"
    "0a046e616d6512060a040a026e300a0a0a046e6f6e6512021a000a110a0178120c120a0a0800000000f9021550e47cf0"
    "9c5a00000000000000136fb4bf0a580a150a026964120f1a0d0a0b01ffffffffffffffffff010a100a046d616e791208"
    "0a060a01610a01620a0e0a046e616d6512060a040a026e310a0a0a046e6f6e6512021a000a110a0178120c120a0a0800"
    "00003ff9021550a9e576ff"
)
TABLE = pa.table({
    "x": np.arange(10, dtype=np.float32) / 2, "n": [None if i == 7 else i for i in range(10)],
    "name": [f"row {i}" for i in range(10)], "pair": [[i, i + 1] for i in range(10)],
})  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One file of each kind."""
    folder = tmp_path_factory.mktemp("files")
    pa.parquet.write_table(TABLE, folder / "t.parquet", row_group_size=4)
    options = pa.ipc.IpcWriteOptions()
    with pa.ipc.new_file(folder / "t.arrow", TABLE.schema, options=options) as writer:
        for batch in TABLE.to_batches(max_chunksize=3):
            writer.write_batch(batch)
    pa.csv.write_csv(TABLE.drop(["pair"]), folder / "t.csv")
    with h5py.File(folder / "t.h5", "w") as file:
        file["x"] = np.arange(20).reshape(10, 2)
        file["group/y"] = np.arange(10) * 10
        file["other"] = np.arange(3)
    np.save(folder / "x.npy", np.arange(20).reshape(10, 2))
    np.save(folder / "y.npy", np.arange(10))
    np.savez(folder / "t.npz", x=np.arange(20).reshape(10, 2), y=np.arange(10))
    (folder / "t.tfrecord").write_bytes(TFRECORD)
    stream = np.random.RandomState(0)
    with tarfile.open(folder / "t.tar", "w") as tar:
        for number in range(4):
            picture = io.BytesIO()
            Image.fromarray(stream.randint(0, 256, (2, 3, 3)).astype(np.uint8)).save(picture, "PNG")
            array = io.BytesIO()
            np.save(array, np.arange(number + 1))
            members = {"cls": str(number).encode(), "png": picture.getvalue(), "txt": b"a picture",
                       "json": json.dumps({"n": number}).encode(), "seg.npy": array.getvalue(),
                       "bin": b"\x00"}  # fmt: skip
            for ending, content in members.items():
                member = tarfile.TarInfo(f"part/{number:03}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    for name in ("cat", "ant", "bee/nested"):
        (folder / "images" / name).mkdir(parents=True)
        for number in (10, 9):
            Image.new("RGB", (4, 5), (number, 2, 3)).save(
                folder / "images" / name / f"{number}.PNG"
            )
    (folder / "images" / "cat" / "notes.txt").write_text("no image")
    return folder


def same_rows(found, expected):
    for row, other in zip(found, expected, strict=True):
        assert list(row) == list(other)
        for name in row:
            np.testing.assert_array_equal(row[name], np.float64("nan") if other[name] is None
                                          else other[name])  # fmt: skip


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_columns_by_index(folder, kind):
    read = getattr(data, f"from_{kind}")
    path = folder / f"t.{kind}"
    rows = read(path)
    expected = TABLE.to_pylist()
    assert len(rows) == 10
    same_rows(rows, expected)
    same_rows([rows[-1], rows[4], rows[3]], [expected[9], expected[4], expected[3]])
    copy = pickle.loads(pickle.dumps(read([path, path], columns=["name", "n"])))
    same_rows([copy[13]], [{"name": "row 3", "n": 3}])
    loader = data.DataLoader(rows, batch_size=10, shuffle=True, seed=0)
    (batch,) = loader
    order = loader.order(0)
    assert batch["name"] == [f"row {i}" for i in order]
    np.testing.assert_array_equal(batch["pair"].numpy(), np.stack([order, order + 1], 1))
    np.testing.assert_array_equal(batch["n"].numpy(), np.where(order == 7, np.nan, order))
    with pytest.raises(ArgumentError, match=r"no column 'nam'.*Did you mean 'name'"):
        read(path, columns=["nam"])
    with pytest.raises(FormatError, match=f"(?i)t.npz is no {kind} file"):
        read(folder / "t.npz")
    with pytest.raises(IndexError, match="row 10 of 10"):
        rows[10]


def test_csv(folder):
    lines = data.from_csv(folder / "t.csv")
    same_rows(lines, TABLE.drop(["pair"]).to_pylist())
    again = iter(lines)
    again.load_state_dict({"epoch": 0, "position": 8, "seed": 0})
    assert [row["name"] for row in again] == ["row 8", "row 9"]
    some = data.from_csv([folder / "t.csv"] * 2, columns=["n"]).batch(20)
    assert next(iter(some))["n"].shape == (20,)
    (folder / "bad.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(FormatError, match=r"bad.csv.*Expected 2 columns, got 1"):
        list(data.from_csv(folder / "bad.csv"))
    with pytest.raises(ArgumentError, match=r"has no column 'nam'.*Did you mean 'name'"):
        list(data.from_csv(folder / "t.csv", columns=["nam"]))
    (folder / "more.csv").write_text("x,y\n1,2\n")
    with pytest.raises(FormatError, match=r"more.csv has the columns x, y; .*t.csv x, n, name"):
        list(data.from_csv([folder / "t.csv", folder / "more.csv"]))
    packed = gzip.compress((folder / "t.csv").read_bytes())
    (folder / "cut.csv.gz").write_bytes(packed[:-20])
    with pytest.raises(FormatError, match=r"cut.csv.gz cannot be read after 0 rows"):
        list(data.from_csv(folder / "cut.csv.gz"))


def test_arrays_in_files(folder):
    x, y = np.arange(20).reshape(10, 2), np.arange(10)
    single = data.from_npy(folder / "x.npy")
    assert isinstance(single.arrays[0].base, np.memmap)
    np.testing.assert_array_equal(np.stack(list(single)), x)
    both = pickle.loads(pickle.dumps(data.from_npy([folder / "x.npy", folder / "y.npy"])))
    (batch,) = data.DataLoader(both, batch_size=10)
    np.testing.assert_array_equal(batch[0].numpy(), x)
    named = data.from_npz(folder / "t.npz")
    (batch,) = data.DataLoader(named, batch_size=10)
    np.testing.assert_array_equal(batch["y"].numpy(), y)
    assert list(data.from_npz(folder / "t.npz", names=["y"])[3]) == ["y"]
    with pytest.raises(ArgumentError, match="has no 'z'; need some of x, y"):
        data.from_npz(folder / "t.npz", names=["z"])
    for read, name in (
        (data.from_npy, "t.csv"),
        (data.from_npz, "t.csv"),
        (data.from_npz, "x.npy"),
    ):
        with pytest.raises(FormatError, match=name):
            read(folder / name)
    rows = data.from_hdf5(folder / "t.h5", names=["x", "group/y"])
    assert {k: v.tolist() for k, v in rows[-1].items()} == {"x": [18, 19], "group/y": 90}
    for indices in ([3, 4, 5], [7, 1, 1, 9]):
        found = rows.rows_at(np.array(indices))
        np.testing.assert_array_equal(found["x"], x[indices])
        np.testing.assert_array_equal(found["group/y"], y[indices] * 10)
    handle = rows.handle()
    rows.handle._process -= 1  # as after a fork
    assert rows.handle() is not handle
    assert len(pickle.loads(pickle.dumps(rows))[0]["x"]) == 2
    with pytest.raises(ValueError, match=r"t.h5 has of rows: .*'other' 3, 'x' 10; .*choose some"):
        data.from_hdf5(folder / "t.h5")
    with pytest.raises(FormatError, match="no HDF5 file"):
        data.from_hdf5(folder / "t.csv")


def test_tfrecords(folder):
    records = data.from_tfrecord(folder / "t.tfrecord")
    assert len(records) == 2
    first, second = records
    assert (second["id"].tolist(), second["id"].dtype) == ([1, -1], np.int64)
    np.testing.assert_array_equal(second["x"], np.float32([0.5, 1e10]))
    assert (first["name"], first["many"], first["none"].tolist()) == (b"n0", [b"a", b"b"], [])
    raw = data.from_tfrecord([folder / "t.tfrecord"] * 2, decode=len)
    assert list(raw) == [81, 90, 81, 90]
    for change, message in (
        (lambda c: c[:-5], "record 1 at byte 97 is cut off"),
        (lambda c: c + b"\x01", "record 2 at byte 203 is cut off"),
        (lambda c: c[:140] + bytes([c[140] ^ 1]) + c[141:], "the data of record 1 at byte 97 is d"),
        (lambda c: c[:9] + bytes([c[9] ^ 1]) + c[10:], "the length of record 0 at .* is damaged"),
        (lambda c: c + frame(b"\xff\xff"), "record 2 at byte 203 is no tf.train.Example"),
    ):
        path = folder / "bad.tfrecord"
        path.write_bytes(change(TFRECORD))
        with pytest.raises(FormatError, match=rf"bad\.tfrecord: {message}"):
            list(data.from_tfrecord([folder / "t.tfrecord", path]))
    with pytest.raises(ValueError, match="mine") as caught:
        data.from_tfrecord(folder / "t.tfrecord", decode=strange)[1]
    assert caught.value.__notes__ == [f"from_tfrecord: {folder}/t.tfrecord: record 1 at byte 97"]
    with pytest.raises(ArgumentError, match="is a folder; need files"):
        data.from_tfrecord(folder)


def strange(record):
    raise ValueError("mine")


def test_tars(folder):
    samples = data.from_webdataset(folder / "t.tar")
    assert len(samples) == 4
    sample = samples[2]
    with tarfile.open(folder / "t.tar") as tar:
        image = np.asarray(Image.open(tar.extractfile("part/002.png")))
    np.testing.assert_array_equal(sample.pop("png"), image.transpose(2, 0, 1))
    assert sample.pop("seg.npy").tolist() == [0, 1, 2]
    assert sample == {"__key__": "part/002", "cls": 2, "txt": "a picture", "json": {"n": 2},
                      "bin": b"\x00"}  # fmt: skip
    shuffled = samples.shuffle(seed=0).map(lambda sample: sample["cls"])
    assert sorted(shuffled) == [0, 1, 2, 3]
    endings = data.from_webdataset(folder / "t.tar", decode=lambda ending, data, name: name)
    assert endings[0]["png"] == "part/000.png"
    (folder / "bad.tar").write_bytes(b"no tar")
    with pytest.raises(FormatError, match=r"bad\.tar is no tar"):
        len(data.from_webdataset(folder / "bad.tar"))
    whole = (folder / "t.tar").read_bytes()
    with tarfile.open(folder / "t.tar") as tar:
        member = tar.getmembers()[7]
    for cut in (member.offset, member.offset + 100, member.offset_data, member.offset_data + 9):
        (folder / "bad.tar").write_bytes(whole[:cut])  # of which Python's reader hides some
        told = r"bad\.tar is (cut off after 7 members|no tar|cut off or damaged in '.*' or)"
        with pytest.raises(FormatError, match=told):
            len(data.from_webdataset(folder / "bad.tar"))
    for ending, content in (("json", b"{"), ("cls", b"one"), ("png", b"no image"), ("npy", b"")):
        with tarfile.open(folder / "bad.tar", "w") as tar:
            member = tarfile.TarInfo(f"a.{ending}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        with pytest.raises(FormatError, match=rf"bad\.tar: a\.{ending} (does not|cannot)") as found:
            data.from_webdataset(folder / "bad.tar")[0]
        assert "BytesIO object" not in str(found.value)


def test_damage_inside_of_files_is_named(folder):
    """Files that open, and then cannot be read."""
    whole = bytearray((folder / "t.parquet").read_bytes())
    whole[4:60] = b"\xff" * 56
    (folder / "bad.parquet").write_bytes(whole)
    with pytest.raises(FormatError, match=r"bad\.parquet: row group 0 cannot be read"):
        data.from_parquet(folder / "bad.parquet")[1]
    pa.parquet.write_table(TABLE.select(["x"]), folder / "x.parquet")
    with pytest.raises(
        ArgumentError, match=r"x\.parquet has the columns x; .*t\.parquet x, n, name"
    ):
        data.from_parquet([folder / "t.parquet", folder / "x.parquet"])
    with h5py.File(folder / "bad.h5", "w") as file:
        file.create_dataset("x", data=np.arange(100.0), chunks=(50,), fletcher32=True)
        offset = file["x"].id.get_chunk_info(1).byte_offset
    whole = bytearray((folder / "bad.h5").read_bytes())
    whole[offset + 3] ^= 1
    (folder / "bad.h5").write_bytes(whole)
    rows = data.from_hdf5(folder / "bad.h5")
    assert rows[49] == {"x": 49}
    for read in (lambda: rows[60], lambda: list(data.DataLoader(rows, batch_size=40))):
        with pytest.raises(FormatError, match=r"bad\.h5: 'x' cannot be read"):
            read()
    whole = (folder / "t.npz").read_bytes()
    for content in (whole[:-30], whole[:100] + b"x" + whole[101:]):
        (folder / "bad.npz").write_bytes(content)
        with pytest.raises(FormatError, match=r"bad\.npz is no \.npz file"):
            data.from_npz(folder / "bad.npz")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a,b\n1,2\n3\n", "Row #3: Expected 2 columns, got 1"),
        (b"a,b\n1,2\n3,4,5\n", "Row #3: Expected 2 columns, got 3"),
        (b"a,b\n" + b"1,2\n" * 300_000 + b"x,3\n", "column #0: Row #300002: .* invalid value 'x'"),
        (b"\xff\xfe,b\n1,2\n", "can't decode"),
        (b"", "Empty CSV"),
        (b"a,t\n1,caf\xe9\n2,x\n", "column 't', row 0: b'caf.{4}' is no text.*need UTF-8"),
        (b"a,t\n1,x\n" + b"2,x\n" * 300_000 + b"3,caf\xe9\n", "invalid UTF8"),
        (b"a,b,a\n1,2,3\n", "2 columns are called 'a'"),
    ],
    ids=range(8),
)
def test_lines_that_do_not_fit_are_named(tmp_path, content, told):
    (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(FormatError, match=rf"bad\.csv: .*{told}"):
        sum(1 for _ in data.from_csv(tmp_path / "bad.csv"))


def test_columns_have_names_of_their_own(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,b,a\n1,caf\xe9,5\n")
    with pytest.raises(FormatError, match="2 columns are called 'a'"):
        list(data.from_csv(tmp_path / "t.csv", columns=["a"]))
    asked = data.from_csv(tmp_path / "t.csv", ["b"], column_types=pa.schema({"b": pa.binary()}))
    assert list(asked) == [{"b": b"caf\xe9"}]
    twice = pa.table([[1, 2], [3, 4], [5, 6]], ["a", "b", "a"])
    pa.parquet.write_table(twice, tmp_path / "t.parquet")
    with pa.ipc.new_file(tmp_path / "t.arrow", twice.schema) as writer:
        writer.write_table(twice)
    for kind in ("parquet", "arrow"):
        read, path = getattr(data, f"from_{kind}"), tmp_path / f"t.{kind}"
        for columns in (None, ["a"]):
            with pytest.raises(FormatError, match=rf"from_{kind}: .*t.{kind}: 2 columns .* 'a'"):
                read(path, columns=columns)
        same_rows(read(path, columns=["b"]), [{"b": 3}, {"b": 4}])


def test_images_that_are_too_large_are_named(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(FormatError, match=r"cat/9\.PNG cannot be read: .* exceeds limit"):
        data.folders.picture(str(folder / "images" / "cat" / "9.PNG"))


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_images_of_more_bits_keep_the_highest(tmp_path, ending):
    sixteen = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    path = str(tmp_path / f"x.{ending}")
    Image.fromarray(sixteen).save(path)
    assert np.asarray(data.folders.picture(path))[0, :, 1].tolist() == [0, 0, 1, 128, 255]
    if ending == "tif":
        Image.fromarray(np.float32([[0.0, 7.0]])).save(path)
        assert np.asarray(data.folders.picture(path, mode="L")).tolist() == [[0, 7]]
        Image.fromarray(np.float32([[0.0, 0.5]])).save(path)
        with pytest.raises(FormatError, match=r"x\.tif cannot be read: .* 8 bits cannot hold"):
            data.folders.picture(path)


def test_folders_of_images(folder):
    """In the order that torchvision's ImageFolder documents: sorted classes, sorted paths."""
    images = data.ImageFolder(folder / "images")
    assert images.classes == ["ant", "bee", "cat"]
    assert images.class_to_idx == {"ant": 0, "bee": 1, "cat": 2}
    names = [os.path.relpath(path, folder / "images") for path, _ in images.samples]
    assert names == ["ant/10.PNG", "ant/9.PNG", "bee/nested/10.PNG", "bee/nested/9.PNG",
                     "cat/10.PNG", "cat/9.PNG"]  # fmt: skip
    assert images.targets == [0, 0, 1, 1, 2, 2]
    image, target = images[-1]
    assert (image.shape, image.dtype, image[:, 0, 0].tolist(), target) == (
        (3, 5, 4), np.uint8, [9, 2, 3], 2)  # fmt: skip
    sized = data.ImageFolder(folder / "images", transform=lambda i: i.size,
                             target_transform=lambda t: -t)  # fmt: skip
    assert sized[5] == ((4, 5), -2)
    (folder / "images" / "dog").mkdir()
    with pytest.raises(ArgumentError, match="no images in dog"):
        data.ImageFolder(folder / "images")
    assert len(data.ImageFolder(folder / "images", allow_empty=True)) == 6
    (folder / "images" / "dog" / "bad.png").write_bytes(b"no image")
    with pytest.raises(FormatError, match=r"bad.png cannot be read") as caught:
        list(data.DataLoader(data.ImageFolder(folder / "images"), batch_size=2))
    assert "at sample 6" in caught.value.__notes__[0]
    with pytest.raises(ArgumentError, match="has no folders"):
        data.ImageFolder(folder / "images" / "dog")


def test_hugging_face():
    datasets = pytest.importorskip("datasets")
    source = datasets.Dataset.from_dict({"x": [[1.0, 2.0], [3.0, 4.0]], "name": ["a", "b"]})
    for rows in (
        data.from_huggingface(source),
        data.from_huggingface(source.to_iterable_dataset()),
    ):
        (batch,) = data.DataLoader(rows, batch_size=2)
        assert (batch["x"].tolist(), batch["name"]) == ([[1, 2], [3, 4]], ["a", "b"])
        assert batch["x"].dtype.name == "float32"
    assert list(data.from_huggingface(source, columns=["name"])[1]) == ["name"]
    with pytest.raises(ArgumentError, match="no column 'nam'"):
        data.from_huggingface(source, columns=["nam"])
    with pytest.raises(TypeError, match="a dict of splits"):
        data.from_huggingface(datasets.DatasetDict(train=source))


def test_what_is_missing_is_named(folder, monkeypatch):
    for read in (data.from_parquet, data.from_csv, data.from_npy, data.from_hdf5):
        with pytest.raises(ArgumentError, match="there is no 'nowhere'"):
            read("nowhere")
    with pytest.raises(TypeError, match="got int; need a path"):
        data.from_tfrecord(3)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ArgumentError, match=r"needs h5py.*pip install 'ambos\[data\]'"):
        data.from_hdf5(folder / "t.h5")
