"""The native part of the runtime, as LLVM text: what the threads of the pool execute.

`execute` walks the launches of a Program. A launch that is worth several threads is cut into
chunks of items, every thread is given a range of them, and whoever ends its own range helps the
others. A thread's range lies on a cache line of its own: `tickets` counts the chunks not yet
taken, and whoever decrements it from a positive number t owns chunk `high - t`. The launch cannot
end while anybody owns a chunk, so the rest of the line may be read after winning a ticket and never
before. The caller takes tickets like everybody else and waits for chunks, not for threads: a
worker that is asleep, or that the system has taken off its core, delays nobody.

One counter for all threads was tried first: with 16 chunks and 2 threads its line moves between
the cores with every chunk. A region of 0.5 us of work took 1.7 us with it and 0.9 us with ranges
(single runs, on a machine with other load). Ranges also let a thread meet the same part of its data
in launch after launch; what that is worth has not been measured.

A polling worker yields its core now and then. The system may wake it on the caller's own core,
where it would displace the caller and poll in vain: a trivial run after a pause took 24 to 107 us
(medians of five alternating trials) without yielding, 5 to 10 us with it.

An idle worker polls `tickets` for a while, then sleeps: on Linux in a futex, elsewhere in naps.
The order that makes a wake-up certain: a worker announces itself in `sleepers` and then looks at
its `tickets`; the caller writes `tickets` and then looks at `sleepers`.
"""

from __future__ import annotations

import ctypes
from hashlib import blake2b

from ambos.core.program import Kernel
from ambos.runtime import denormal, native_control, native_rows
from ambos.runtime.native_state import Control, Header, Line

CHUNKS_PER_THREAD = 8  # enough to even out threads of unequal speed
POLLS_PER_YIELD = 256  # a power of two


ENTRIES = (
    "worker", "execute", "wake", "spin", *native_control.ENTRIES, *native_rows.ENTRIES
)  # fmt: skip


def engine(triple: str, futex: bool) -> Kernel:
    """A "kernel" that is a table of the addresses of ENTRIES.

    `futex` asks for Linux futexes, else sleeping threads take naps.
    """
    text = _text(triple, futex)
    digest = blake2b(text.encode(), digest_size=16).hexdigest()
    name = f"ambos_engine_{digest}"
    return Kernel(name, lambda: text.replace("@ENGINE", f"@{name}"), "engine")


def has_futex(triple: str) -> bool:
    """Whether `engine` knows the futex system call of this target."""
    return "linux" in triple and triple.startswith(("x86_64", "aarch64"))


def _offset(field: str, structure: type[ctypes.Structure] = Control) -> int:
    return int(getattr(structure, field).offset)


def _fields(*names: str, structure: type[ctypes.Structure] = Control, base: str = "control") -> str:
    """Instructions that make `%name` the address of each field."""
    return "\n  ".join(
        f"%{name} = getelementptr i8, ptr %{base}, i64 {_offset(name, structure)}" for name in names
    )


def _text(triple: str, futex: bool) -> str:
    if triple.startswith("x86_64"):
        pause, call = "declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"
        number = 202
    elif triple.startswith(("aarch64", "arm64")):
        pause, call = "declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"
        number = 98
    else:
        pause, call, number = "", "", 0
    windows = "windows" in triple
    nap = "call void @Sleep(i32 1)" if windows else "%nap = call i32 @usleep(i32 %delay)"
    yield_ = "%y = call i32 @SwitchToThread()" if windows else "%y = call i32 @sched_yield()"
    system = (
        "declare void @Sleep(i32)\ndeclare i32 @SwitchToThread()"
        if windows
        else "declare i32 @usleep(i32)\ndeclare i32 @sched_yield()\ndeclare i64 @syscall(i64, ...)"
    )
    sleep, wake = (SLEEP_FUTEX, WAKE_FUTEX) if futex else (SLEEP_NAP, WAKE_NOBODY)
    modes = denormal.text(triple, _offset("mode"), _offset("outside"))
    loops = native_control.text(windows)
    parts = (HEAD, modes, WORKER, sleep, DRAIN, EXECUTE, loops, native_rows.TEXT, wake, SPIN, pause,
             system)  # fmt: skip
    text = "\n".join(parts)
    for key, value in {
        "$PAUSE": call,
        "$NAP": nap,
        "$YIELD": yield_,
        "$FUTEX": str(number),
        "$LAST": str(POLLS_PER_YIELD - 1),
        "$LINE": str(ctypes.sizeof(Line)),
        "$EPOCH": str(_offset("epoch")),
        "$SLEEPERS": str(_offset("sleepers")),
        "$SHARE": str(CHUNKS_PER_THREAD),
    }.items():
        text = text.replace(key, value)
    return text


HEAD = f"""
@ENGINE = constant [{len(ENTRIES)} x ptr] [{", ".join(f"ptr @{name}" for name in ENTRIES)}]
"""

WORKER = f"""
define internal void @serve(ptr %control, i64 %id) nounwind {{
entry:
  {_fields("done", "epoch", "sleepers", "lines", "spins", "stop")}
  %limit = load i64, ptr %spins
  %all = load ptr, ptr %lines
  %tickets = getelementptr [$LINE x i8], ptr %all, i64 %id
  br label %poll
poll:
  %count = phi i64 [0, %entry], [%more, %again], [0, %drained], [$LAST, %asleep]
  %left = load atomic i64, ptr %tickets monotonic, align 8
  %work = icmp sgt i64 %left, 0
  br i1 %work, label %take, label %idle
take:
  %mine = call i64 @drain(ptr %control, i64 %id)
  %some = icmp ne i64 %mine, 0
  br i1 %some, label %report, label %drained
report:
  %before = atomicrmw add ptr %done, i64 %mine release
  br label %drained
drained:
  br label %poll
idle:
  %flag = load atomic i64, ptr %stop acquire, align 8
  %over = icmp ne i64 %flag, 0
  br i1 %over, label %end, label %wait
wait:
  %more = add i64 %count, 1
  %tired = icmp ugt i64 %more, %limit
  br i1 %tired, label %sleep, label %polite
polite:                                   ; the caller may be waiting for this very core
  %phase = and i64 %more, $LAST
  %due = icmp eq i64 %phase, 0
  br i1 %due, label %cede, label %hold
cede:
  $YIELD
  br label %again
hold:
  $PAUSE
  br label %again
again:
  br label %poll
end:
  ret void
"""

SLEEP_FUTEX = """
sleep:
  %seen = load atomic i32, ptr %epoch seq_cst, align 4
  %others = atomicrmw add ptr %sleepers, i32 1 seq_cst
  %late = load atomic i64, ptr %tickets seq_cst, align 8
  %late_work = icmp sgt i64 %late, 0
  br i1 %late_work, label %asleep, label %check
check:
  %late_flag = load atomic i64, ptr %stop seq_cst, align 8
  %late_over = icmp ne i64 %late_flag, 0
  br i1 %late_over, label %end, label %park
park:                                     ; 128: FUTEX_WAIT_PRIVATE
  %r = call i64 (i64, ...) @syscall(i64 $FUTEX, ptr %epoch, i64 128, i32 %seen, ptr null,
    ptr null, i64 0)
  %now = load atomic i32, ptr %epoch seq_cst, align 4
  %interrupted = icmp eq i32 %now, %seen
  br i1 %interrupted, label %park, label %asleep
asleep:
  br label %poll
}
"""

SLEEP_NAP = """
sleep:
  br label %doze
doze:                                     ; naps of 50, 100, ... 1600 us
  %delay = phi i32 [50, %sleep], [%longer, %doze_on]
  $NAP
  %late = load atomic i64, ptr %tickets seq_cst, align 8
  %late_work = icmp sgt i64 %late, 0
  br i1 %late_work, label %asleep, label %check
check:
  %late_flag = load atomic i64, ptr %stop seq_cst, align 8
  %late_over = icmp ne i64 %late_flag, 0
  br i1 %late_over, label %end, label %doze_on
doze_on:
  %twice = shl i32 %delay, 1
  %short = icmp ult i32 %delay, 1600
  %longer = select i1 %short, i32 %twice, i32 %delay
  br label %doze
asleep:
  br label %poll
}
"""

# Takes tickets until there are none, first its own; the number of chunks done.
DRAIN = f"""
define internal i64 @drain(ptr %control, i64 %id) nounwind noinline {{
entry:
  {_fields("threads", "lines", "scratch", "scratch_stride")}
  %num_threads = load i64, ptr %threads
  %all = load ptr, ptr %lines
  %base = load ptr, ptr %scratch
  %stride = load i64, ptr %scratch_stride
  %shift = mul i64 %stride, %id
  %own = getelementptr i8, ptr %base, i64 %shift
  br label %visit
visit:
  %k = phi i64 [0, %entry], [%k_next, %leave]
  %mine = phi i64 [0, %entry], [%mine_end, %leave]
  %to0 = add i64 %id, %k
  %past = icmp sge i64 %to0, %num_threads
  %back = select i1 %past, i64 %num_threads, i64 0
  %to = sub i64 %to0, %back
  %tickets = getelementptr [$LINE x i8], ptr %all, i64 %to
  %left = load atomic i64, ptr %tickets monotonic, align 8
  %any = icmp sgt i64 %left, 0
  br i1 %any, label %try, label %leave
try:
  %first = atomicrmw sub ptr %tickets, i64 1 acquire
  %won = icmp sgt i64 %first, 0
  br i1 %won, label %prepare, label %leave
prepare:
  {_fields("high", "function", "args", "items", "chunk", structure=Line, base="tickets")}
  %end_chunk = load i64, ptr %high
  %call = load ptr, ptr %function
  %words = load ptr, ptr %args
  %num_items = load i64, ptr %items
  %size = load i64, ptr %chunk
  %mode = call i64 @adopt_mode(ptr %control)
  br label %loop
loop:
  %ticket = phi i64 [%first, %prepare], [%next, %loop]
  %so_far = phi i64 [%mine, %prepare], [%mine_now, %loop]
  %index = sub i64 %end_chunk, %ticket
  %begin = mul i64 %index, %size
  %end_full = add i64 %begin, %size
  %end = call i64 @llvm.smin.i64(i64 %end_full, i64 %num_items)
  call void %call(ptr %words, i64 %begin, i64 %end, ptr %own)
  %mine_now = add i64 %so_far, 1
  %next = atomicrmw sub ptr %tickets, i64 1 acquire
  %again = icmp sgt i64 %next, 0
  br i1 %again, label %loop, label %leave
leave:
  %mine_end = phi i64 [%mine, %visit], [%mine, %try], [%mine_now, %loop]
  %k_next = add i64 %k, 1
  %more = icmp slt i64 %k_next, %num_threads
  br i1 %more, label %visit, label %out
out:
  ret i64 %mine_end
}}
declare i64 @llvm.smin.i64(i64, i64)
"""

_HEADER = "\n  ".join(
    f"%{name}_at = getelementptr i8, ptr %header, i64 {getattr(Header, name).offset}\n"
    f"  %{name} = load {'i64' if name.startswith('num_') else 'ptr'}, ptr %{name}_at"
    for name, _ in Header._fields_
)

# Launches first <= i < last of a Program on `slots`. One may run Python (native_control), and leave
# other threads and scratch memory behind: they are looked up at every launch.
EXECUTE = f"""
define internal void @walk(ptr %header, ptr %slots, i64 %first, i64 %last) nounwind {{
entry:
  {_HEADER}
  {_fields("done", "sleepers", "threads", "lines", "spins", "scratch", "failed")}
  %now_at = getelementptr i8, ptr %control, i64 {_offset("arena")}
  %now = load ptr, ptr %now_at
  %moved = icmp ne ptr %now, %arena
  br i1 %moved, label %rebase, label %bind
rebase:
  store ptr %now, ptr %arena_at
  br label %arena_loop
arena_loop:
  %a = phi i64 [0, %rebase], [%a_next, %arena_patch]
  %a_more = icmp slt i64 %a, %num_arena_patches
  br i1 %a_more, label %arena_patch, label %bind
arena_patch:
  %a_entry = getelementptr [2 x i64], ptr %arena_patches, i64 %a
  %a_word = load ptr, ptr %a_entry
  %a_offset_at = getelementptr i64, ptr %a_entry, i64 1
  %a_offset = load i64, ptr %a_offset_at
  %a_pointer = getelementptr i8, ptr %now, i64 %a_offset
  store ptr %a_pointer, ptr %a_word
  %a_next = add i64 %a, 1
  br label %arena_loop
bind:
  br label %bind_loop
bind_loop:
  %p = phi i64 [0, %bind], [%p_next, %bind_patch]
  %p_more = icmp slt i64 %p, %num_patches
  br i1 %p_more, label %bind_patch, label %next
bind_patch:
  %p_entry = getelementptr [3 x i64], ptr %patches, i64 %p
  %p_word = load ptr, ptr %p_entry
  %p_slot_at = getelementptr i64, ptr %p_entry, i64 1
  %p_slot = load i64, ptr %p_slot_at
  %p_offset_at = getelementptr i64, ptr %p_entry, i64 2
  %p_offset = load i64, ptr %p_offset_at
  %p_base_at = getelementptr ptr, ptr %slots, i64 %p_slot
  %p_base = load ptr, ptr %p_base_at, align 1
  %p_pointer = getelementptr i8, ptr %p_base, i64 %p_offset
  store ptr %p_pointer, ptr %p_word
  %p_next = add i64 %p, 1
  br label %bind_loop
next:
  %i = phi i64 [%first, %bind_loop], [%i_next, %launched]
  %more = icmp slt i64 %i, %last
  br i1 %more, label %launch, label %end
end:
  ret void
launch:
  %r = getelementptr [4 x i64], ptr %records, i64 %i
  %args_at = getelementptr i64, ptr %r, i64 1
  %items_at = getelementptr i64, ptr %r, i64 2
  %serial_at = getelementptr i64, ptr %r, i64 3
  %call = load ptr, ptr %r
  %words = load ptr, ptr %args_at
  %num_items = load i64, ptr %items_at
  %serial = load i64, ptr %serial_at
  %num_threads = load i64, ptr %threads
  %own = load ptr, ptr %scratch
  %alone = icmp sle i64 %num_threads, 1
  %is_serial = icmp ne i64 %serial, 0
  %few = icmp sle i64 %num_items, 1
  %inline0 = or i1 %is_serial, %few
  %inline = or i1 %inline0, %alone
  br i1 %inline, label %here, label %fork
here:
  %some = icmp sgt i64 %num_items, 0
  br i1 %some, label %run_here, label %launched
run_here:
  call void %call(ptr %words, i64 0, i64 %num_items, ptr %own)
  %failure = load i64, ptr %failed
  %bad = icmp ne i64 %failure, 0
  br i1 %bad, label %end, label %launched
fork:                                     ; size = chunk length, total = number of chunks
  %patience = load i64, ptr %spins
  %all = load ptr, ptr %lines
  %shares = mul i64 %num_threads, $SHARE
  %share = udiv i64 %num_items, %shares
  %size = call i64 @llvm.smax.i64(i64 %share, i64 1)
  %up = add i64 %num_items, %size
  %up1 = sub i64 %up, 1
  %total = udiv i64 %up1, %size
  %each = udiv i64 %total, %num_threads
  %whole = mul i64 %each, %num_threads
  %extra = sub i64 %total, %whole
  store atomic i64 0, ptr %done monotonic, align 8
  br label %give
give:                                     ; ranges, the last thread's first
  %t = phi i64 [%num_threads, %fork], [%t0, %given]
  %t0 = sub i64 %t, 1
  %early0 = call i64 @llvm.smin.i64(i64 %t0, i64 %extra)
  %early1 = call i64 @llvm.smin.i64(i64 %t, i64 %extra)
  %until0 = mul i64 %t, %each
  %until = add i64 %until0, %early1
  %bonus = sub i64 %early1, %early0
  %count_t = add i64 %each, %bonus
  %tickets = getelementptr [$LINE x i8], ptr %all, i64 %t0
  %has = icmp sgt i64 %count_t, 0
  br i1 %has, label %publish, label %given
publish:
  {_fields("high", "function", "args", "items", "chunk", structure=Line, base="tickets")}
  store i64 %until, ptr %high
  store ptr %call, ptr %function
  store ptr %words, ptr %args
  store i64 %num_items, ptr %items
  store i64 %size, ptr %chunk
  store atomic i64 %count_t, ptr %tickets release, align 8
  br label %given
given:
  %rest = icmp sgt i64 %t0, 0
  br i1 %rest, label %give, label %look
look:
  fence seq_cst
  %asleep = load atomic i32, ptr %sleepers seq_cst, align 4
  %someone = icmp ne i32 %asleep, 0
  br i1 %someone, label %rouse, label %work
rouse:
  call void @wake(ptr %control)
  br label %work
work:
  %mine = call i64 @drain(ptr %control, i64 0)
  %others = sub i64 %total, %mine
  br label %join
join:
  %count = phi i64 [0, %work], [%count_next, %pause], [%count, %yield]
  %finished = load atomic i64, ptr %done acquire, align 8
  %complete = icmp eq i64 %finished, %others
  br i1 %complete, label %launched, label %unfinished
unfinished:
  %patient = icmp ult i64 %count, %patience
  br i1 %patient, label %pause, label %yield
pause:
  $PAUSE
  %count_next = add i64 %count, 1
  br label %join
yield:
  $YIELD
  br label %join
launched:
  %i_next = add i64 %i, 1
  br label %next
}}
declare i64 @llvm.smax.i64(i64, i64)
"""

WAKE_FUTEX = """
define internal void @wake(ptr %control) nounwind {
  %epoch = getelementptr i8, ptr %control, i64 $EPOCH
  %sleepers = getelementptr i8, ptr %control, i64 $SLEEPERS
  store atomic i32 0, ptr %sleepers seq_cst, align 4
  %old = atomicrmw add ptr %epoch, i32 1 seq_cst   ; 129: FUTEX_WAKE_PRIVATE
  %r = call i64 (i64, ...) @syscall(i64 $FUTEX, ptr %epoch, i64 129, i64 2147483647, ptr null,
    ptr null, i64 0)
  ret void
}
"""

WAKE_NOBODY = """
define internal void @wake(ptr %control) nounwind {
  ret void
}
"""

# `turns` idle turns of a waiting thread, to find out how long one takes.
SPIN = """
define internal void @spin(ptr %word, i64 %turns) nounwind {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%i_next, %loop]
  %seen = load atomic i64, ptr %word acquire, align 8
  $PAUSE
  %i_next = add i64 %i, 1
  %more = icmp slt i64 %i_next, %turns
  br i1 %more, label %loop, label %end
end:
  ret void
}
"""
