"""The object cache under damage: whatever is on disk, wrong bytes never come back."""

import errno
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import pytest

from ambos.core.config import config
from ambos.runtime import cache
from ambos.runtime.cache import Cache


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "cache_dir", tmp_path / "cache")
    return Cache("tests")


def file_of(store: Cache, name: str):
    return store.directory / f"{name}.object"


def test_round_trip(store):
    assert store.read("kernel") is None
    for code in (b"", b"\x7fELF" + bytes(range(256))):
        assert store.write("kernel", code)
        assert store.read("kernel") == code
    assert os.listdir(store.directory) == ["kernel.object"]


@pytest.mark.parametrize("position", [0, 15, 16, 31, 32, 100, 131])
def test_one_damaged_byte_is_noticed(store, position):
    store.write("kernel", b"x" * 100)
    content = bytearray(file_of(store, "kernel").read_bytes())
    content[position] ^= 1
    file_of(store, "kernel").write_bytes(content)
    assert store.read("kernel") is None
    store.write("kernel", b"y")
    assert store.read("kernel") == b"y"


@pytest.mark.parametrize("length", [0, 1, 16, 31, 32, 33, 131])
def test_a_truncated_file_is_noticed(store, length):
    store.write("kernel", b"x" * 100)
    content = file_of(store, "kernel").read_bytes()
    assert len(content) == 132
    file_of(store, "kernel").write_bytes(content[:length])
    assert store.read("kernel") is None


def test_a_longer_file_is_noticed(store):
    store.write("kernel", b"x" * 100)
    with open(file_of(store, "kernel"), "ab") as file:
        file.write(b"\0")
    assert store.read("kernel") is None


def test_a_renamed_file_is_foreign(store):
    store.write("kernel", b"code")
    os.rename(file_of(store, "kernel"), file_of(store, "other"))
    assert store.read("other") is None


def test_another_toolchain_sees_nothing(store):
    store.write("kernel", b"code")
    other = Cache("another")
    assert other.directory != store.directory
    assert other.read("kernel") is None
    other.directory.mkdir()
    os.rename(file_of(store, "kernel"), file_of(other, "kernel"))
    assert other.read("kernel") is None


def test_a_directory_in_place_of_a_file(store):
    file_of(store, "kernel").mkdir(parents=True)
    assert store.read("kernel") is None
    assert not store.write("kernel", b"code")
    assert os.listdir(store.directory) == ["kernel.object"]  # no temporary file is left


def test_a_place_that_cannot_exist(store, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(config, "cache_dir", tmp_path / "file" / "cache")
    assert not store.write("kernel", b"code")
    assert store.read("kernel") is None
    assert cache.size() == 0
    cache.clear()
    cache.evict(0)


def test_read_only(store, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "read-only")

    store.write("old", b"code")
    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    assert not store.write("new", b"code")
    assert store.read("old") == b"code"


@pytest.mark.parametrize("call", ["write", "replace"])
def test_full_disk_leaves_nothing_behind(store, monkeypatch, call):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "replace":
        monkeypatch.setattr(os, "replace", full)
    else:
        real = open

        def opened(*args, **kwargs):
            file = real(*args, **kwargs)
            if args[1] == "wb":
                file.close()
                full()
            return file

        monkeypatch.setattr(cache, "open", opened, raising=False)
    assert not store.write("kernel", b"code")
    assert os.listdir(store.directory) == []
    monkeypatch.undo()


def _write_many(directory: str, version: str, seed: int, ready) -> None:
    config.cache_dir = directory
    cache.CODE_VERSION = version  # somebody may be editing the sources while this runs
    store = Cache("tests")
    ready.wait()
    for turn in range(200):
        store.write("shared", bytes([seed]) * (1000 + turn))
        code = store.read("shared")
        assert code is not None
        assert len(set(code)) == 1


def test_two_processes_write_the_same_entry(store):
    context = multiprocessing.get_context("spawn")
    ready, where = context.Barrier(2), str(config.cache_dir)
    writers = [
        context.Process(target=_write_many, args=(where, cache.CODE_VERSION, seed, ready))
        for seed in (1, 2)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(store.read("shared")) == 1199
    assert os.listdir(store.directory) == ["shared.object"]


def test_size_and_clear(store):
    store.write("a", b"x" * 100)
    Cache("another").write("b", b"x" * 50)
    assert cache.size() == 100 + 50 + 2 * 32
    stranger = config.cache_dir / "notes.txt"
    stranger.write_text("not ours")
    cache.clear()
    assert cache.size() == 0
    assert [entry.name for entry in config.cache_dir.iterdir()] == ["notes.txt"]


def test_eviction_takes_the_longest_unused(store):
    now = time.time()
    for age, name in enumerate("abcd"):
        store.write(name, b"x" * 968)
        os.utime(file_of(store, name), (now - 1000 * age, now - 1000 * age))
    cache.evict(2500)
    assert sorted(os.listdir(store.directory)) == ["a.object", "b.object"]


def test_a_hit_makes_an_old_entry_young(store):
    store.write("kernel", b"code")
    os.utime(file_of(store, "kernel"), (1, 1))
    assert store.read("kernel") == b"code"
    assert file_of(store, "kernel").stat().st_mtime > time.time() - 60


def test_what_dead_writers_left_is_removed(store):
    store.write("kernel", b"code")
    for name, age in ((".dead.part", 7200), (".alive.part", 0)):
        (store.directory / name).write_bytes(b"half")
        os.utime(store.directory / name, (time.time() - age,) * 2)
    cache.evict(cache.LIMIT_BYTES)
    assert sorted(os.listdir(store.directory)) == [".alive.part", "kernel.object"]


def test_writing_bounds_the_size(store, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT_BYTES", 50_000)
    for number in range(100):
        store.write(f"k{number}", b"x" * 1000)
    assert 20_000 < cache.size() < 60_000


def test_a_full_cache_is_looked_through_once_an_hour_not_by_every_process(store, monkeypatch):
    looks = []
    monkeypatch.setattr(cache, "evict", lambda limit: looks.append(limit))

    def process(*names):
        other = cache.Cache("another process")
        for name in names:
            assert other.write(name, b"x" * 1000)

    process("a", "b")
    process("c")
    assert len(looks) == 1
    stamp = config.cache_dir / cache.STAMP
    os.utime(stamp, (time.time() - cache.LOOK_SECONDS - 1,) * 2)
    process("d")
    process("e")
    assert len(looks) == 2
    monkeypatch.setattr(cache, "LIMIT_BYTES", 24_000)  # much from one process
    process("f", "g")
    assert len(looks) == 3


def test_every_source_that_shapes_kernels_is_part_of_the_version():
    """Those of inner rooms as well (ops/complex, tensor/linalg)."""
    package = Path(cache.__file__).resolve().parents[1]
    for room in ("core", "graph", "ops", "compiler", "runtime", "tensor"):
        found = [line.split()[0] for line in cache._sources(package / room)]
        expected = [
            p.relative_to(package / room).as_posix() for p in (package / room).rglob("*.py")
        ]
        assert sorted(found) == sorted(expected), room
