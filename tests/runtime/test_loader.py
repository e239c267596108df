"""Loading: what is compiled when, what the cache saves, and how failures end."""

import ctypes
import threading

import pytest

from ambos.core.config import config
from ambos.core.errors import CompilerError
from ambos.core.features import Features
from ambos.core.program import Kernel
from ambos.runtime import loader
from ambos.runtime.loader import load
from ambos.runtime.machine import host_features

from .kernels import kernel, python, text

CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)


def call(address: int, items: int) -> list[int]:
    out = (ctypes.c_int64 * items)()
    words = (ctypes.c_int64 * 2)(ctypes.addressof(out), 7)
    CALL(address)(ctypes.addressof(words), 0, items, None)
    return list(out)


@pytest.fixture
def counted(monkeypatch, tmp_path):
    """A new cache directory, and how much is compiled and loaded from here on."""
    monkeypatch.setattr(config, "cache_dir", tmp_path)
    before = (loader.statistics.compiled, loader.statistics.loaded_from_cache)

    def since() -> tuple[int, int]:
        now = loader.statistics
        return now.compiled - before[0], now.loaded_from_cache - before[1]

    return since


def forget(*names: str) -> None:
    """As if the process were new."""
    for known in loader._addresses.values():
        for name in names:
            known.pop(name, None)


def test_code_runs_and_is_compiled_once(counted):
    kernels = [kernel("constant", f"loader_once_{i}") for i in range(3)]
    addresses = load(kernels, host_features())
    assert [call(addresses[k.name], 3) for k in kernels] == [[7, 7, 7]] * 3
    assert load(kernels, host_features()) == addresses
    assert counted() == (3, 0)


def test_a_new_process_takes_it_from_disk(counted):
    one, two = kernel("constant", "loader_disk_1"), kernel("constant", "loader_disk_2")
    load([one], host_features())
    forget(one.name)
    unwanted = Kernel(one.name, lambda: pytest.fail("emitted although it is on disk"))
    addresses = load([unwanted, two], host_features())
    assert counted() == (2, 1)
    assert call(addresses[one.name], 2) == call(addresses[two.name], 2) == [7, 7]


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "foreign"])
def test_a_damaged_entry_is_compiled_and_replaced(counted, damage):
    one, other = kernel("constant", f"loader_{damage}"), kernel("chunk", f"loader_{damage}_other")
    load([one, other], host_features())
    (path,) = config.cache_dir.glob(f"*/{one.name}.object")
    content = path.read_bytes()
    path.write_bytes(
        {
            "truncate": content[: len(content) // 2],
            "flip": content[:200] + bytes([content[200] ^ 255]) + content[201:],
            "empty": b"",
            "foreign": path.with_name(f"{other.name}.object").read_bytes(),
        }[damage]
    )
    forget(one.name)
    assert call(load([one], host_features())[one.name], 2) == [7, 7]
    assert counted() == (3, 0)
    assert path.read_bytes() == content


def test_an_intact_entry_without_the_symbol_is_replaced(counted):
    good, wrong = kernel("constant", "loader_symbol"), kernel("chunk", "loader_symbol_other")
    load([wrong], host_features())
    store = loader._caches[host_features().key]
    store.write(good.name, store.read(wrong.name))
    assert call(load([good], host_features())[good.name], 2) == [7, 7]
    forget(good.name)
    assert call(load([good], host_features())[good.name], 2) == [7, 7]
    assert counted() == (2, 1)


def test_no_cache_directory_at_all(counted, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(config, "cache_dir", tmp_path / "file" / "sub")
    one = kernel("constant", "loader_nowhere")
    assert call(load([one], host_features())[one.name], 1) == [7]


def test_each_target_has_its_own_code(counted):
    host = host_features()
    if not host.triple.startswith("x86_64"):
        pytest.skip("the levels are x86-64's")
    plain = Features(host.triple, "x86-64", "", 16, 16)
    one = kernel("constant", "loader_target")
    addresses = {load([one], target)[one.name] for target in (host, plain)}
    assert len(addresses) == 2
    assert counted() == (2, 0)


def test_refused_text_names_the_kernel_and_harms_nothing():
    bad = Kernel("loader_bad", lambda: "define void @loader_bad() { ret i32 }", "softmax rows")
    with pytest.raises(CompilerError, match=r"(?s)softmax rows.*expected value"):
        load([bad, kernel("constant", "loader_beside_bad")], host_features())
    wrong_name = Kernel("loader_missing", lambda: text("constant", "loader_elsewhere"), "wrong")
    with pytest.raises(CompilerError, match="cannot link wrong"):
        load([wrong_name], host_features())
    good = kernel("constant", "loader_good_after_bad")
    assert call(load([good], host_features())[good.name], 1) == [7]


def test_an_error_of_emission_passes_through():
    def emit() -> str:
        raise KeyError("emission")

    with pytest.raises(KeyError, match="emission"):
        load([Kernel("loader_raises", emit), kernel("constant", "loader_ok")], host_features())


def test_library_functions_resolve(counted):
    name = "loader_memory"
    code = f"""
    declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
    declare double @sin(double)
    define void @{name}(ptr %args, i64 %begin, i64 %end, ptr %scratch) {{
      %out = load ptr, ptr %args
      %bytes = mul i64 %end, 8
      call void @llvm.memset.p0.i64(ptr %out, i8 1, i64 %bytes, i1 false)
      %s = call double @sin(double 0.0)
      ret void
    }}"""
    address = load([Kernel(name, lambda: code)], host_features())[name]
    assert call(address, 1000) == [0x0101010101010101] * 1000


def test_many_objects_and_threads(counted):
    kernels = [kernel("constant", f"loader_many_{i}") for i in range(40)]
    results = []

    def work() -> None:
        addresses = load(kernels, host_features())
        results.append([call(addresses[k.name], 1) for k in kernels])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[[7]] * 40] * 4
    assert counted() == (40, 0)


def test_debug_levels_show_code_even_when_cached(counted, monkeypatch, capfd):
    one = kernel("constant", "loader_debug")
    load([one], host_features())
    forget(one.name)
    monkeypatch.setattr(config, "debug", 7)
    load([one], host_features())
    shown = capfd.readouterr().err
    assert "define" in shown
    assert ".text" in shown
    assert "ret" in shown


def test_llvmlite_is_not_imported_before_it_is_needed():
    done = python("import sys, ambos.runtime.executor; assert 'llvmlite' not in sys.modules")
    assert done.returncode == 0, done.stderr
