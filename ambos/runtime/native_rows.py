"""The native part of reading data, as LLVM text: rows are copied side by side, and looked at while
they are in registers.

A number is NaN or infinite if all bits of its exponent are set. With the sign cleared, adding one
to the exponent's last place then carries into the sign, and never beyond it: so words of 64 bits
tell of the two, four or one numbers in them at once, by `(word & keep) + step`, whatever their
dtype. A larger step refuses large numbers as well. Where both are 0 everything will do.
"""

from __future__ import annotations

import ctypes

from ambos.runtime.native_state import WORD


class Column(ctypes.Structure):  # as `rows` lays it out
    """An array whose rows are taken."""

    _fields_ = (
        ("target", WORD),  # where they go, one behind the other
        ("source", WORD),
        ("stride", WORD),  # bytes from one row to the next
        ("nbytes", WORD),  # of a row
        ("keep", WORD),
        ("step", WORD),
        ("sign", WORD),
    )


ENTRIES = ("take_rows", "look_at")


def _walk(name: str, copies: bool) -> str:
    """A function that walks a row, and returns what `(word & keep) + step` gave, in one word."""

    def put(kind: str, value: str, at: str) -> str:
        if not copies:
            return ""
        return (f"%{value}_to = getelementptr i8, ptr %to, i64 %{at}\n"
                f"  store {kind} %{value}, ptr %{value}_to, align 1")  # fmt: skip

    return f"""
define internal i64 @{name}(ptr %to, ptr %from, ptr %ahead, i64 %nbytes, i64 %keep, i64 %step)
    nounwind {{
entry:
  %keep_one = insertelement <4 x i64> poison, i64 %keep, i64 0
  %keeps = shufflevector <4 x i64> %keep_one, <4 x i64> poison, <4 x i32> zeroinitializer
  %step_one = insertelement <4 x i64> poison, i64 %step, i64 0
  %steps = shufflevector <4 x i64> %step_one, <4 x i64> poison, <4 x i32> zeroinitializer
  %whole = and i64 %nbytes, -32
  %long = icmp ne i64 %whole, 0
  br i1 %long, label %block, label %folding
block:
  %at = phi i64 [0, %entry], [%at_next, %block]
  %seen = phi <4 x i64> [zeroinitializer, %entry], [%seen_next, %block]
  %later = getelementptr i8, ptr %ahead, i64 %at
  call void @llvm.prefetch.p0(ptr %later, i32 0, i32 3, i32 1)
  %line_from = getelementptr i8, ptr %from, i64 %at
  %line = load <4 x i64>, ptr %line_from, align 1
  {put("<4 x i64>", "line", "at")}
  %kept = and <4 x i64> %line, %keeps
  %stepped = add <4 x i64> %kept, %steps
  %seen_next = or <4 x i64> %seen, %stepped
  %at_next = add i64 %at, 32
  %more = icmp ult i64 %at_next, %whole
  br i1 %more, label %block, label %folding
folding:
  %all = phi <4 x i64> [zeroinitializer, %entry], [%seen_next, %block]
  %folded = call i64 @llvm.vector.reduce.or.v4i64(<4 x i64> %all)
  br label %words
words:
  %word_at = phi i64 [%whole, %folding], [%word_next, %word_step]
  %words_seen = phi i64 [%folded, %folding], [%words_more, %word_step]
  %word_next = add i64 %word_at, 8
  %fits = icmp ule i64 %word_next, %nbytes
  br i1 %fits, label %word_step, label %bytes
word_step:
  %word_from = getelementptr i8, ptr %from, i64 %word_at
  %word = load i64, ptr %word_from, align 1
  {put("i64", "word", "word_at")}
  %word_kept = and i64 %word, %keep
  %word_stepped = add i64 %word_kept, %step
  %words_more = or i64 %words_seen, %word_stepped
  br label %words
bytes:                                    ; fewer than eight are left: gathered into one more word
  %byte_at = phi i64 [%word_at, %words], [%byte_next, %byte_step]
  %rest = phi i64 [0, %words], [%rest_more, %byte_step]
  %shift = phi i64 [0, %words], [%shift_next, %byte_step]
  %byte_fits = icmp ult i64 %byte_at, %nbytes
  br i1 %byte_fits, label %byte_step, label %end
byte_step:
  %byte_from = getelementptr i8, ptr %from, i64 %byte_at
  %byte = load i8, ptr %byte_from, align 1
  {put("i8", "byte", "byte_at")}
  %wide = zext i8 %byte to i64
  %placed = shl i64 %wide, %shift
  %rest_more = or i64 %rest, %placed
  %byte_next = add i64 %byte_at, 1
  %shift_next = add i64 %shift, 8
  br label %bytes
end:
  %rest_kept = and i64 %rest, %keep
  %rest_stepped = add i64 %rest_kept, %step
  %result = or i64 %words_seen, %rest_stepped
  ret i64 %result
}}
"""


def _fields() -> str:
    lines = []
    for name, _ in Column._fields_:
        offset = getattr(Column, name).offset
        lines.append(f"%{name}_at = getelementptr i8, ptr %column, i64 {offset}")
        lines.append(f"%{name} = load i64, ptr %{name}_at")
    return "\n  ".join(lines)


# Rows `order[first : first + rows]` of each column, or those numbers themselves without an order.
# The number of the first column in which one is not finite, counted from 1; 0 where all are.
TAKE = f"""
define internal i64 @take_rows(ptr %columns, i64 %count, ptr %order, i64 %first, i64 %rows)
    nounwind {{
entry:
  %in_order = icmp eq ptr %order, null
  br label %columns_loop
columns_loop:
  %c = phi i64 [0, %entry], [%c_next, %column_end]
  %spoiled = phi i64 [0, %entry], [%spoiled_next, %column_end]
  %is_one = icmp ult i64 %c, %count
  br i1 %is_one, label %column_begin, label %end
column_begin:
  %place = mul i64 %c, {ctypes.sizeof(Column)}
  %column = getelementptr i8, ptr %columns, i64 %place
  {_fields()}
  %dense = icmp eq i64 %stride, %nbytes
  %as_one = and i1 %in_order, %dense
  %total = mul i64 %nbytes, %rows
  %length = select i1 %as_one, i64 %total, i64 %nbytes
  %times = select i1 %as_one, i64 1, i64 %rows
  %target_base = inttoptr i64 %target to ptr
  %source_base = inttoptr i64 %source to ptr
  %last = sub i64 %times, 1
  br label %rows_loop
rows_loop:
  %r = phi i64 [0, %column_begin], [%r_next, %row_found]
  %seen = phi i64 [0, %column_begin], [%seen_next, %row_found]
  %is_row = icmp ult i64 %r, %times
  br i1 %is_row, label %row_begin, label %column_end
row_begin:
  %here = add i64 %first, %r
  %is_last = icmp eq i64 %r, %last
  %one_on = select i1 %is_last, i64 0, i64 1
  %there = add i64 %here, %one_on
  br i1 %in_order, label %row_found, label %row_listed
row_listed:
  %here_at = getelementptr i64, ptr %order, i64 %here
  %here_listed = load i64, ptr %here_at
  %there_at = getelementptr i64, ptr %order, i64 %there
  %there_listed = load i64, ptr %there_at
  br label %row_found
row_found:
  %number = phi i64 [%here, %row_begin], [%here_listed, %row_listed]
  %following = phi i64 [%there, %row_begin], [%there_listed, %row_listed]
  %from_offset = mul i64 %number, %stride
  %from = getelementptr i8, ptr %source_base, i64 %from_offset
  %ahead_offset = mul i64 %following, %stride
  %ahead = getelementptr i8, ptr %source_base, i64 %ahead_offset
  %to_offset = mul i64 %r, %nbytes
  %to = getelementptr i8, ptr %target_base, i64 %to_offset
  %found = call i64 @copy_row(ptr %to, ptr %from, ptr %ahead, i64 %length, i64 %keep, i64 %step)
  %seen_next = or i64 %seen, %found
  %r_next = add i64 %r, 1
  br label %rows_loop
column_end:
  %signs = and i64 %seen, %sign
  %is_bad = icmp ne i64 %signs, 0
  %c_next = add i64 %c, 1
  %is_new = icmp eq i64 %spoiled, 0
  %is_first = and i1 %is_bad, %is_new
  %spoiled_next = select i1 %is_first, i64 %c_next, i64 %spoiled
  br label %columns_loop
end:
  ret i64 %spoiled
}}
"""

LOOK = """
define internal i64 @look_at(ptr %from, i64 %nbytes, i64 %keep, i64 %step) nounwind {
  %found = call i64 @look_at_row(ptr null, ptr %from, ptr %from, i64 %nbytes, i64 %keep, i64 %step)
  ret i64 %found
}

declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
declare i64 @llvm.vector.reduce.or.v4i64(<4 x i64>)
"""

TEXT = _walk("copy_row", copies=True) + _walk("look_at_row", copies=False) + TAKE + LOOK
