"""The digits are the published ones, and their split is reproducible."""

import hashlib
import importlib

import numpy as np
import pytest

from ambos.core.errors import ArgumentError, FormatError

# `ambos.data.digits` is the function once the room re-exports it; the module goes by its name.
module = importlib.import_module("ambos.data.digits")
digits = module.digits


def test_counts_are_those_of_the_uci_description():
    images, labels = digits()
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == np.float32
    assert labels.shape == (1797,)
    assert labels.dtype == np.int64
    # "Class: No of examples in testing set", optdigits.names.
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_pixels_are_sixteenths_and_the_first_image_is_the_published_zero():
    images, labels = digits()
    sixteenths = images * 16
    assert (sixteenths == np.round(sixteenths)).all()
    assert (images.min(), images.max()) == (0.0, 1.0)
    first_rows = [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]]
    assert labels[0] == 0
    assert sixteenths[0, 0, :2].tolist() == first_rows


def test_split_covers_every_example_once():
    images, labels = digits()
    (x_train, y_train), (x_test, y_test) = digits(test_fraction=0.2, seed=3)
    assert len(x_train) == len(y_train) == 1438
    assert len(x_test) == len(y_test) == 359
    rows = np.concatenate([x_train, x_test]).reshape(1797, -1)
    whole = np.column_stack([rows, np.concatenate([y_train, y_test])])
    expected = np.column_stack([images.reshape(1797, -1), labels])
    assert (whole[np.lexsort(whole.T)] == expected[np.lexsort(expected.T)]).all()


def test_split_depends_on_the_seed_only():
    (_, once), (x_test, y_test) = digits(0.2, seed=0)
    (_, again), _ = digits(0.2, seed=0)
    (_, other), _ = digits(0.2, seed=1)
    assert (once == again).all()
    assert (once != other).any()
    # The split of seed 0, fixed for ever: published accuracies refer to it.
    assert (
        hashlib.sha256(x_test.tobytes() + y_test.tobytes()).hexdigest()[:16] == "9883807db3803402"
    )


def test_arrays_belong_to_the_caller():
    digits()[0][:] = 7
    assert digits()[0].max() == 1


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), "half", 1e-6, 1 - 1e-6])
def test_a_fraction_out_of_range_is_named(fraction):
    with pytest.raises(ArgumentError, match=r"^digits: test_fraction.*test_digits\.py:\d+"):
        digits(test_fraction=fraction)


@pytest.mark.parametrize("seed", [-1, 2**32, "zero", 0.5])
def test_a_bad_seed_is_named(seed):
    with pytest.raises(ArgumentError, match="seed is"):
        digits(test_fraction=0.2, seed=seed)


def test_a_damaged_file_is_refused(tmp_path, monkeypatch):
    damaged = bytearray(module.FILE.read_bytes())
    damaged[1000] ^= 1
    path = tmp_path / "digits.npz"
    path.write_bytes(damaged)
    monkeypatch.setattr(module, "FILE", path)
    with pytest.raises(FormatError, match="damaged"):
        digits()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not ours"])
def test_a_foreign_file_is_refused(tmp_path, monkeypatch, content):
    path = tmp_path / "digits.npz"
    path.write_bytes(content)
    monkeypatch.setattr(module, "FILE", path)
    with pytest.raises(FormatError, match="damaged"):
        digits()


def test_a_missing_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FILE", tmp_path / "digits.npz")
    with pytest.raises(FormatError, match="cannot read"):
        digits()
