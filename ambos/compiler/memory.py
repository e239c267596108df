"""Loads and stores of one value or LANES of them, whatever the address looks like.

An address is uniform (one element for all lanes), unit (LANES neighbours), strided, or gathered
(an offset for each lane). A lane whose mask is false never touches its memory: what must not be
read comes from an area of zeros on the stack, what must not be written goes to a sink there, so
that no branch is needed. In memory bool is one byte, 0 or 1, and half precisions are 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ambos.compiler import rounding
from ambos.compiler.loops import LANES
from ambos.compiler.scalar import LLVMBuilder
from ambos.compiler.values import HALVES, SUFFIX, Value, vector_type
from ambos.core.dtype import DType, bool_, int64

Write = Callable[[str, int], tuple[str, int]]  # writes a load, returns its register and depth


def memory_type(dtype: DType) -> str:
    """The LLVM type of one element in memory."""
    return "i8" if dtype is bool_ else "i16" if dtype in HALVES else dtype.llvm


def prefetch(b: LLVMBuilder, place: str, level: int = 3) -> None:
    """Ask for the cache line at `place`, which may lie anywhere, to come into the first (`level`
    3) or the second cache (2)."""
    b.declare("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
    b.effect(f"call void @llvm.prefetch.p0(ptr {place}, i32 0, i32 {level}, i32 1)")


@dataclass(frozen=True, slots=True)
class Address:
    """Where lane l reads or writes: element `pointer` + l * stride + offsets[l].

    `stride` is 0 (uniform), 1 (unit) or a uniform int64 Value; `offsets` an int64 vector or None.
    """

    dtype: DType
    pointer: str
    depth: int
    stride: int | Value = 0
    offsets: Value | None = None

    @property
    def is_uniform(self) -> bool:
        return self.offsets is None and self.stride == 0

    @property
    def is_unit(self) -> bool:
        return self.offsets is None and self.stride == 1


@dataclass(frozen=True, slots=True)
class Masks:
    """Where memory may be touched: a uniform condition and a condition for each lane."""

    uniform: Value | None = None
    lanes: Value | None = None

    @classmethod
    def of(cls, *conditions: Value | None) -> Masks:
        """All of `conditions` (None is true)."""
        uniform = lanes = None
        for condition in conditions:
            if condition is None or condition.constant is True:
                continue
            if condition.vector:
                lanes = condition if lanes is None else lanes & condition
            else:
                uniform = condition if uniform is None else uniform & condition
        return cls(uniform, lanes)

    def any(self, b: LLVMBuilder) -> Value | None:
        """Whether any lane is on, as a uniform condition."""
        if self.lanes is None:
            return self.uniform
        symbol = f"@llvm.vector.reduce.or.v{LANES}i1"
        kind = vector_type("i1")
        b.declare(f"declare i1 {symbol}({kind})")
        text = f"call i1 {symbol}({kind} {self.lanes.text})"
        some = b.emit(text, bool_, False, self.lanes.depth)
        return some if self.uniform is None else some & self.uniform


# --- registers and memory ------------------------------------------------------------------------


def from_memory(b: LLVMBuilder, raw: str, dtype: DType, vector: bool, depth: int) -> Value:
    """The Value of a register that was loaded with memory_type(dtype)."""
    if dtype is bool_:
        kind = vector_type("i8") if vector else "i8"
        zero = "zeroinitializer" if vector else "0"
        return b.emit(f"icmp ne {kind} {raw}, {zero}", bool_, vector, depth)
    if dtype in HALVES:
        return rounding.decode(b, raw, dtype, vector, depth)
    return b.value(raw, dtype, vector, depth)


def to_memory(b: LLVMBuilder, value: Value) -> str:
    """The operand of memory_type(value.dtype) to store."""
    if value.dtype is bool_:
        kind, to = (vector_type("i1"), vector_type("i8")) if value.vector else ("i1", "i8")
        return b.pure(f"zext {kind} {value.text} to {to}", value.depth)
    if value.dtype in HALVES:
        return rounding.stored_bits(b, value)
    return value.text


# --- pointers ------------------------------------------------------------------------------------


def lane_pointers(b: LLVMBuilder, address: Address) -> list[tuple[str, int]]:
    """The pointer of each lane, with its depth."""
    element = memory_type(address.dtype)
    if address.offsets is not None:
        offsets = address.offsets
        if address.stride != 0:
            offsets = offsets + lane_numbers(b) * address.stride
        depth = max(address.depth, offsets.depth)
        pointers = []
        for lane in range(LANES):
            kind = vector_type("i64")
            offset = b.pure(f"extractelement {kind} {offsets.text}, i64 {lane}", offsets.depth)
            text = f"getelementptr {element}, ptr {address.pointer}, i64 {offset}"
            pointers.append((b.pure(text, depth), depth))
        return pointers
    if address.is_uniform:
        return [(address.pointer, address.depth)] * LANES
    stride = address.stride if isinstance(address.stride, Value) else b.const(1, int64)
    depth = max(address.depth, stride.depth)

    def step(pointer: str, times: int) -> str:
        if not times:
            return pointer
        distance = stride * times if times > 1 else stride
        return b.pure(f"getelementptr {element}, ptr {pointer}, i64 {distance.text}", depth)

    # Four bases and distances up to 3 * stride: what addressing modes can hold in registers.
    bases = [step(address.pointer, 4 * group) for group in range(LANES // 4)]
    return [(step(base, within), depth) for base in bases for within in range(4)]


def lane_numbers(b: LLVMBuilder, dtype: DType = int64) -> Value:
    """The vector 0, 1, ..., LANES - 1."""
    numbers = ", ".join(f"{dtype.llvm} {n}" for n in range(LANES))
    return b.value(f"<{numbers}>", dtype, True, 0)


def extract(b: LLVMBuilder, value: Value, lane: int) -> Value:
    """One lane as a uniform value."""
    if not value.vector:
        return value
    text = f"extractelement {value.type} {value.text}, i64 {lane}"
    return b.emit(text, value.dtype, False, value.depth)


def _choose(
    b: LLVMBuilder, on: Value | None, pointer: str, depth: int, other: str
) -> tuple[str, int]:
    """`pointer` where `on`, else the stack area `other`."""
    if on is None:
        return pointer, depth
    depth = max(depth, on.depth)
    return b.pure(f"select i1 {on.text}, ptr {pointer}, ptr {b.area(other)}", depth), depth


# --- loads ---------------------------------------------------------------------------------------


def load(b: LLVMBuilder, address: Address, masks: Masks, write: Write) -> Value:
    """The element (uniform address) or LANES elements at `address`; zero where masked off."""
    if address.is_uniform:
        value = _load_one(b, address, masks.any(b), write)
        return value if masks.lanes is None else b.select(masks.lanes, value, 0)
    if address.is_unit:
        return _load_neighbours(b, address, masks, write)
    return _load_lanes(b, address, masks, write)


def _load_one(b: LLVMBuilder, address: Address, on: Value | None, write: Write) -> Value:
    pointer, depth = _choose(b, on, address.pointer, address.depth, "zeros")
    element, align = memory_type(address.dtype), address.dtype.itemsize
    raw, depth = write(f"load {element}, ptr {pointer}, align {align}", depth)
    return from_memory(b, raw, address.dtype, False, depth)


def _load_neighbours(b: LLVMBuilder, address: Address, masks: Masks, write: Write) -> Value:
    pointer, depth = _choose(b, masks.uniform, address.pointer, address.depth, "zeros")
    element, align = memory_type(address.dtype), address.dtype.itemsize
    kind = vector_type(element)
    if masks.lanes is None:
        raw, depth = write(f"load {kind}, ptr {pointer}, align {align}", depth)
        return from_memory(b, raw, address.dtype, True, depth)
    symbol = f"@llvm.masked.load.v{LANES}{SUFFIX.get(element, element)}.p0"
    mask = vector_type("i1")
    b.declare(f"declare {kind} {symbol}(ptr, {mask}, {kind})")
    depth = max(depth, masks.lanes.depth)
    args = f"ptr align {align} {pointer}, {mask} {masks.lanes.text}, {kind} zeroinitializer"
    raw, depth = write(f"call {kind} {symbol}({args})", depth)
    return from_memory(b, raw, address.dtype, True, depth)


def _pointers(b: LLVMBuilder, address: Address) -> tuple[str, int]:
    """The vector of pointers of lanes with offsets, and its depth."""
    offsets = address.offsets
    assert offsets is not None
    if address.stride != 0:
        offsets = offsets + lane_numbers(b) * address.stride
    depth = max(address.depth, offsets.depth)
    element = memory_type(address.dtype)
    text = f"getelementptr {element}, ptr {address.pointer}, {vector_type('i64')} {offsets.text}"
    return b.pure(text, depth), depth


def _gather(b: LLVMBuilder, address: Address, kind: str, write: Write) -> Value:
    """One instruction where the processor has a good one (AVX-512); LLVM writes the sixteen loads
    where it has not."""
    pointers, depth = _pointers(b, address)
    element, align = memory_type(address.dtype), address.dtype.itemsize
    symbol = f"@llvm.masked.gather.v{LANES}{SUFFIX.get(element, element)}.v{LANES}p0"
    where, mask = vector_type("ptr"), vector_type("i1")
    b.declare(f"declare {kind} {symbol}({where}, {mask}, {kind})")
    args = f"{where} align {align} {pointers}, {mask} splat (i1 true), {kind} poison"
    raw, depth = write(f"call {kind} {symbol}({args})", depth)
    return from_memory(b, raw, address.dtype, True, depth)


def _load_lanes(b: LLVMBuilder, address: Address, masks: Masks, write: Write) -> Value:
    """Sixteen scalar loads: measured no slower than a gather instruction on AVX2 and AVX-512."""
    element, align = memory_type(address.dtype), address.dtype.itemsize
    kind = vector_type(element)
    lanes = masks.lanes
    if masks.uniform is not None and address.offsets is None:
        address = _all_or_none(b, address, masks.uniform)
    elif masks.uniform is not None:
        lanes = b.broadcast(masks.uniform if lanes is None else masks.uniform & lanes)
    if lanes is None and address.offsets is not None and address.dtype.itemsize >= 4:
        return _gather(b, address, kind, write)
    if lanes is not None and address.offsets is None and isinstance(address.stride, Value):
        return _load_some(b, address, address.stride, lanes, write)
    raw, deepest = "poison", 0
    for lane, (pointer, depth) in enumerate(lane_pointers(b, address)):
        on = None if lanes is None else extract(b, lanes, lane)
        pointer, depth = _choose(b, on, pointer, depth, "zeros")
        one, depth = write(f"load {element}, ptr {pointer}, align {align}", depth)
        deepest = max(deepest, depth)
        raw = b.pure(f"insertelement {kind} {raw}, {element} {one}, i64 {lane}", deepest)
    return from_memory(b, raw, address.dtype, True, deepest)


def _all_or_none(b: LLVMBuilder, address: Address, on: Value) -> Address:
    """`address` where `on`, else one of zeros for every lane: two choices instead of sixteen."""
    pointer, depth = _choose(b, on, address.pointer, address.depth, "zeros")
    return Address(address.dtype, pointer, depth, b.select(on, address.stride, 0))


def _load_some(
    b: LLVMBuilder, address: Address, stride: Value, lanes: Value, write: Write
) -> Value:
    """Strided loads under a mask: a function of the module's own. Written out at each tap of a
    window they were most of what LLVM had to compile, and they are for rests and edges."""
    element, align = memory_type(address.dtype), address.dtype.itemsize
    kind, mask = vector_type(element), vector_type("i1")
    symbol = f'@"some.{element}"'
    parameters = f"ptr %base, i64 %stride, i{LANES} %on, ptr %zeros"
    text = [f"define internal {kind} {symbol}({parameters}) noinline nounwind memory(read) {{"]
    raw = "poison"
    for lane in range(LANES):
        text += [
            f"%step{lane} = mul i64 %stride, {lane}",
            f"%there{lane} = getelementptr {element}, ptr %base, i64 %step{lane}",
            f"%bit{lane} = and i{LANES} %on, {1 << lane}",
            f"%on{lane} = icmp ne i{LANES} %bit{lane}, 0",
            f"%place{lane} = select i1 %on{lane}, ptr %there{lane}, ptr %zeros",
            f"%one{lane} = load {element}, ptr %place{lane}, align {align}",
            f"%all{lane} = insertelement {kind} {raw}, {element} %one{lane}, i64 {lane}",
        ]
        raw = f"%all{lane}"
    b.declare("\n".join([*text, f"ret {kind} {raw}", "}"]))
    bits = b.pure(f"bitcast {mask} {lanes.text} to i{LANES}", lanes.depth)
    arguments = f"ptr {address.pointer}, i64 {stride.text}, i{LANES} {bits}, ptr {b.area('zeros')}"
    depth = max(address.depth, stride.depth, lanes.depth)
    found, depth = write(f"call {kind} {symbol}({arguments})", depth)
    return from_memory(b, found, address.dtype, True, depth)


# --- stores --------------------------------------------------------------------------------------


def store(
    b: LLVMBuilder, address: Address, value: Value, masks: Masks, combine: str = "",
    stream: bool = False,
) -> None:  # fmt: skip
    """Write (or combine with what is there) `value` here and now. Lanes that share an address write
    in their order. `stream`: past the caches, which need not read the line first."""
    several = value.vector or masks.lanes is not None
    if address.is_uniform and not several:
        where = address.pointer, address.depth, address.dtype
        _store_one(b, *where, value, masks.uniform, combine)
    elif address.is_unit:
        _store_neighbours(b, address, b.broadcast(value), masks, combine, stream)
    elif address.offsets is not None and masks == Masks() and address.dtype.itemsize >= 4:
        _scatter(b, address, b.broadcast(value), combine)
    else:
        pointers = lane_pointers(b, address)
        for lane, (pointer, depth) in enumerate(pointers):
            on = None if masks.lanes is None else extract(b, masks.lanes, lane)
            on = Masks.of(on, masks.uniform).uniform
            one = extract(b, value, lane)
            _store_one(b, pointer, depth, address.dtype, one, on, combine)


def _store_one(
    b: LLVMBuilder,
    pointer: str,
    depth: int,
    dtype: DType,
    value: Value,
    on: Value | None,
    combine: str,
) -> None:
    pointer, _ = _choose(b, on, pointer, depth, "sink")
    element = memory_type(dtype)
    if combine:
        raw = b.here(f"load {element}, ptr {pointer}, align {dtype.itemsize}")
        value = b.combine(combine, from_memory(b, raw, dtype, False, b.depth), value)
    b.effect(f"store {element} {to_memory(b, value)}, ptr {pointer}, align {dtype.itemsize}")


def _scatter(b: LLVMBuilder, address: Address, value: Value, combine: str) -> None:
    """All lanes at once: lanes with offsets of their own never meet (loops.Map)."""
    element, align = memory_type(address.dtype), address.dtype.itemsize
    kind, where, mask = vector_type(element), vector_type("ptr"), vector_type("i1")
    if combine:
        there = _gather(b, address, kind, lambda text, _: (b.here(text), b.depth))
        value = b.combine(combine, there, value)
    pointers = _pointers(b, address)[0]
    symbol = f"@llvm.masked.scatter.v{LANES}{SUFFIX.get(element, element)}.v{LANES}p0"
    b.declare(f"declare void {symbol}({kind}, {where}, {mask})")
    args = f"{kind} {value.text}, {where} align {align} {pointers}, {mask} splat (i1 true)"
    b.effect(f"call void {symbol}({args})")


def _store_neighbours(
    b: LLVMBuilder, address: Address, value: Value, masks: Masks, combine: str, stream: bool
) -> None:
    if combine:
        there = load(b, address, masks, lambda text, _: (b.here(text), b.depth))
        value = b.combine(combine, there, value)
    pointer, _ = _choose(b, masks.uniform, address.pointer, address.depth, "sink")
    element, align = memory_type(address.dtype), address.dtype.itemsize
    kind = vector_type(element)
    raw = to_memory(b, value)
    # Measured: a function called between such stores makes them 1.5 to 3 times slower than others.
    if masks.lanes is None and masks.uniform is None and stream and not b.functions:
        b.declare("!0 = !{i32 1}")
        b.effect(f"store {kind} {raw}, ptr {pointer}, align 64, !nontemporal !0")
        return
    if masks.lanes is None:
        b.effect(f"store {kind} {raw}, ptr {pointer}, align {align}")
        return
    symbol = f"@llvm.masked.store.v{LANES}{SUFFIX.get(element, element)}.p0"
    mask = vector_type("i1")
    b.declare(f"declare void {symbol}({kind}, ptr, {mask})")
    args = f"{kind} {raw}, ptr align {align} {pointer}, {mask} {masks.lanes.text}"
    b.effect(f"call void {symbol}({args})")
