"""LLVM text -> object code -> addresses: the only file of this room that knows LLVM.

How, and why so (2 cores, LLVM 22; "small" is a synthetic kernel of 60 vector instructions):

* One object per kernel, compiled by several threads: 1.8 ms a small kernel on a quiet machine,
  against 3.3 ms on one thread and 2.3 ms for all kernels linked into one module. (Linked halves on
  two threads: 1.4 ms.) The disk cache keeps single kernels, so that programs share them. The gain
  has not been confirmed on the compiler's own kernels: both cores were busy when they were tried.
  llvmlite holds a global lock around every call although LLVM needs none between contexts;
  `_emit_object` steps around it.
* Target machines are kept: a kernel compiled on a new one costs 1.5-3 ms more.
* Two cheap passes: the full -O2 pipeline takes 5.8 ms a small kernel against 3.4.
* Code generation at -O2 without loop strength reduction: on ten of the compiler's kernels that pass
  was 40% of its processor time (9.5 against 5.9 ms), on contraction kernels 15 to 45%. Their speed
  differed by -3 to +3% between with and without, either way round, which is the noise.
* LLJIT with JITLink, all objects of a call linked at once: 0.03-0.05 ms a kernel, against 0.11
  one by one. JITLink lays an object out in one piece, so the small code model always reaches.

Machine code is never unloaded: worker threads may be inside it until the process ends.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from ambos.core.config import config
from ambos.core.errors import CompilerError
from ambos.core.features import Features
from ambos.core.program import Kernel
from ambos.runtime import halves
from ambos.runtime.cache import Cache


@dataclass(slots=True)
class Statistics:
    """What loading did in this process. `seconds` is wall time spent in `load` for missing
    kernels, emission of their LLVM text included."""

    compiled: int = 0
    loaded_from_cache: int = 0
    seconds: float = 0.0


statistics = Statistics()
_lock = threading.RLock()
_addresses: dict[str, dict[str, int]] = {}  # target key -> kernel name -> address
_caches: dict[str, Cache] = {}
_machines: dict[str, list[Any]] = {}  # target key -> target machines that no thread is using
_engine: Any = None
_num_libraries = 0

if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that another thread holds
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


def load(kernels: Iterable[Kernel], features: Features) -> dict[str, int]:
    """Address of each kernel by name: from this process, the disk cache, or the compiler.

    Errors: CompilerError where LLVM does not accept a kernel's text.
    """
    known = _addresses.setdefault(features.key, {})
    wanted = {kernel.name: kernel for kernel in kernels}
    if not wanted.keys() <= known.keys():
        with _lock:
            missing = [kernel for name, kernel in wanted.items() if name not in known]
            if missing:
                start = time.perf_counter()
                known.update(_load_missing(missing, features))
                statistics.seconds += time.perf_counter() - start
    return {name: known[name] for name in wanted}


def _load_missing(missing: list[Kernel], features: Features) -> dict[str, int]:
    cache = _caches.get(features.key)
    if cache is None:
        cache = _caches[features.key] = Cache(f"{_version()}|{features.key}")
    stored: dict[str, bytes] = {}
    if config.debug < 6:  # those levels show what the compiler does, so it has to do it
        for kernel in missing:
            code = cache.read(kernel.name)
            if code is not None:
                stored[kernel.name] = code
    addresses: dict[str, int] = {}
    if stored:
        try:
            addresses = _link(stored, features)
        except RuntimeError:  # intact files that do not link: compile afresh and replace them
            addresses = {}
        statistics.loaded_from_cache += len(addresses)
    rest = [kernel for kernel in missing if kernel.name not in addresses]
    if rest:
        objects = _compile_all(rest, features)
        try:
            addresses.update(_link(objects, features))
        except RuntimeError as error:
            labels = ", ".join(kernel.label or kernel.name for kernel in rest)
            raise CompilerError(f"load: LLVM cannot link {labels}: {error}") from error
        statistics.compiled += len(objects)
        for name, code in objects.items():
            cache.write(name, code)
    return addresses


def _compile_all(kernels: Sequence[Kernel], features: Features) -> dict[str, bytes]:
    """Object code by name. This thread emits text while others are inside LLVM."""
    llvm = _llvm()
    num_threads = max(1, min(config.threads, len(kernels)))
    # The option is the whole process's: others who use LLVM shall find it as it was.
    llvm.set_option("ambos", "-disable-lsr=true")
    try:
        with ThreadPoolExecutor(num_threads, "ambos-compile") as threads:
            jobs = [_start(threads, kernel, features) for kernel in kernels]
            return {
                kernel.name: _finish(job, kernel) for kernel, job in zip(kernels, jobs, strict=True)
            }
    finally:
        llvm.set_option("ambos", "-disable-lsr=false")


def _start(threads: ThreadPoolExecutor, kernel: Kernel, features: Features) -> Callable[[], bytes]:
    """Start to compile; what is returned waits for the object code."""
    text = kernel.emit()
    try:
        return threads.submit(_compile, kernel, text, features).result
    except RuntimeError:  # no threads can be had, as at the end of the interpreter
        return partial(_compile, kernel, text, features)


def _finish(job: Callable[[], bytes], kernel: Kernel) -> bytes:
    try:
        return job()
    except RuntimeError as error:
        raise CompilerError(
            f"load: LLVM refuses kernel {kernel.label or kernel.name}: {str(error).strip()}; "
            "this is a bug in ambos, please report it"
        ) from error


def _compile(kernel: Kernel, text: str, features: Features) -> bytes:
    """Object code of one kernel. Called by several threads at once."""
    llvm = _llvm()
    module = llvm.parse_assembly(text, llvm.create_context())
    module.verify()
    idle = _machines.setdefault(features.key, [])
    machine = idle.pop() if idle else _new_machine(features)
    module.triple = features.triple
    module.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(2)
    options.loop_vectorization = False  # vectors are in the text
    builder = llvm.create_pass_builder(machine, options)
    if kernel.control is not None:  # a whole loop, which is to become one function
        passes = builder.getModulePassManager()
    else:
        passes = llvm.create_new_module_pass_manager()
        passes.add_instruction_combine_pass()
        passes.add_simplify_cfg_pass()
    passes.run(module, builder)
    if config.debug >= 6:
        print(f"; {kernel.label}\n{module}", file=sys.stderr)
    if config.debug >= 7:
        print(machine.emit_assembly(module), file=sys.stderr)
    code = _emit_object(machine, module)
    idle.append(machine)
    return code


def _new_machine(features: Features) -> Any:
    return (
        _llvm()
        .Target.from_triple(features.triple)
        .create_target_machine(
            cpu=features.cpu, features=features.attributes, opt=2, reloc="pic", codemodel="small"
        )
    )


def _emit_object(machine: Any, module: Any) -> bytes:
    """`machine.emit_object(module)` without llvmlite's global lock, where that can be had."""
    import ctypes

    from llvmlite.binding import ffi

    unlocked = getattr(ffi.lib.LLVMPY_TargetMachineEmitToMemory, "_cfn", None)
    if unlocked is None:
        return bytes(machine.emit_object(module))
    with ffi.OutputString() as error:
        buffer = unlocked(machine, module, 1, error)
        if not buffer:
            raise RuntimeError(str(error))
        start = ffi.lib.LLVMPY_GetBufferStart(buffer)
        code = ctypes.string_at(start, ffi.lib.LLVMPY_GetBufferSize(buffer))
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)
        return code


def _link(objects: dict[str, bytes], features: Features) -> dict[str, int]:
    """Link objects into this process, as one library."""
    global _engine, _num_libraries
    conversions = _conversions(objects, features)
    llvm = _llvm()
    if _engine is None:
        target = llvm.Target.from_triple(llvm.get_process_triple())
        machine = target.create_target_machine(reloc="pic", codemodel="small")
        _engine = llvm.create_lljit_compiler(machine, use_jit_link=os.name != "nt")
        atexit.register(_engine.detach)
    builder = llvm.JITLibraryBuilder().add_current_process()
    for name, code in objects.items():
        builder.add_object_img(code).export_symbol(name)
    for name, address in conversions.items():
        builder.import_symbol(name, address)
    _num_libraries += 1
    library = builder.link(_engine, f"ambos{_num_libraries}")
    library.detach()  # keeps the code: only disposing of the tracker would unload it
    return {name: library[name] for name in objects}


def _conversions(objects: dict[str, bytes], features: Features) -> dict[str, int]:
    """Addresses of the conversions of float16 that `objects` call, if any."""
    called = [
        name
        for name in halves.FUNCTIONS
        if name not in objects and any(name.encode() in code for code in objects.values())
    ]
    known = _addresses.setdefault(features.key, {})
    missing = [Kernel(name, partial(str, halves.FUNCTIONS[name])) for name in called
               if name not in known]  # fmt: skip
    if missing:
        known.update(_link(_compile_all(missing, features), features))
    return {name: known[name] for name in called}


def host() -> tuple[str, str, dict[str, bool]]:
    """(triple, cpu, features) of this machine, in LLVM's names."""
    llvm = _llvm()
    return llvm.get_process_triple(), llvm.get_host_cpu_name(), dict(llvm.get_host_cpu_features())


def _version() -> str:
    import llvmlite

    return f"llvmlite {llvmlite.__version__}, LLVM {_llvm().llvm_version_info}"


def _llvm() -> Any:
    """llvmlite's binding, imported at first use and made ready for this machine."""
    global _binding
    if _binding is None:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        _binding = llvm
    return _binding


_binding: Any = None
