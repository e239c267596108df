"""Hand-written kernels for the tests of the runtime, and a way to run Python in a new process."""

import os
import subprocess
import sys
from pathlib import Path

from ambos.core.program import Kernel, Launch, Pointer, Program

ROOT = Path(__file__).resolve().parents[2]

LOOP = """
define void @{name}(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {{
entry:
  %out = load ptr, ptr %args
  %second_at = getelementptr i64, ptr %args, i64 1
  %second = load i64, ptr %second_at
  %empty = icmp sge i64 %begin, %end
  br i1 %empty, label %done, label %loop
loop:
  %i = phi i64 [%begin, %entry], [%i_next, %next]
  %at = getelementptr i64, ptr %out, i64 %i
  {body}
  br label %next
next:
  %i_next = add i64 %i, 1
  %more = icmp slt i64 %i_next, %end
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""

BODIES = {
    # out[i] += 1: shows an item that was done twice or never
    "count": """%old = load i64, ptr %at
      %new = add i64 %old, 1
      store i64 %new, ptr %at""",
    # out[i] = in[i] + 1
    "increment": """%in = inttoptr i64 %second to ptr
      %from = getelementptr i64, ptr %in, i64 %i
      %old = load i64, ptr %from
      %new = add i64 %old, 1
      store i64 %new, ptr %at""",
    # out[i] = the word
    "constant": "store i64 %second, ptr %at",
    # out[i] = begin, which tells the chunks apart
    "chunk": "store i64 %begin, ptr %at",
    # out[i] = the address of the scratch memory, which is written
    "scratch": """store i64 %i, ptr %scratch
      %place = ptrtoint ptr %scratch to i64
      store i64 %place, ptr %at""",
    # out[i] = the address of the scratch memory, the slow way
    "slow": """br label %wait
    wait:
      %k = phi i64 [0, %loop], [%k1, %wait]
      %k1 = add i64 %k, 1
      store volatile i64 %k1, ptr %at
      %again = icmp slt i64 %k1, %second
      br i1 %again, label %wait, label %ready
    ready:
      %place = ptrtoint ptr %scratch to i64
      store i64 %place, ptr %at
      br label %turn
    turn:""",
}


def text(body: str, name: str) -> str:
    return LOOP.format(name=name, body=BODIES[body])


def kernel(body: str, name: str | None = None) -> Kernel:
    name = name or f"test_{body}"
    return Kernel(name, lambda: text(body, name), body)


def program(*launches: Launch, inputs: int = 0, outputs: tuple[int, ...] = (), **more) -> Program:
    return Program(launches, inputs, outputs, **more)


def counting(items: int, times: int = 1, serial: bool = False) -> Program:
    """Add one to each of `items` int64 of the output, `times` times over."""
    launch = Launch(kernel("count"), (Pointer(2), 0), items, serial=serial)
    return program(*[launch] * times, outputs=(8 * items,))


def python(code: str, timeout: float = 60.0, **environment: str) -> subprocess.CompletedProcess:
    """Run `code` in a new interpreter that sees this checkout."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
