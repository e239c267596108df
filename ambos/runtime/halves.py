"""float16 to float32 and back, for processors without instructions for it (x86-64 before F16C).

There LLVM calls functions of the compiler's library, which a JIT does not have. These are they, in
integer arithmetic: the same bits as the instructions, those of NaN included.
"""

from __future__ import annotations

# A subnormal number counts units of 2**-24, the last place of 0.5: adding 0.5 rounds to them, and
# half that scale read as a normal number is 2**-14 too large. No subnormal float32 takes part, so
# that a mode which flushes them changes nothing.
EXTEND = """
define float @__extendhfsf2(half %x) nounwind willreturn memory(none) {
  %bits = bitcast half %x to i16
  %wide = zext i16 %bits to i32
  %top = and i32 %wide, 32768
  %sign = shl i32 %top, 16
  %size = and i32 %wide, 32767
  %moved = shl i32 %size, 13
  %normal = add i32 %moved, 939524096        ; exponents: bias 15 -> 127
  %biased = add i32 %moved, 947912704        ; 2**-14 and as many units
  %above = bitcast i32 %biased to float
  %exact = fsub float %above, 0x3F10000000000000
  %small = bitcast float %exact to i32
  %infinite = or i32 %moved, 2139095040
  %quiet = or i32 %infinite, 4194304
  %is_small = icmp ult i32 %size, 1024
  %is_large = icmp uge i32 %size, 31744
  %is_nan = icmp ugt i32 %size, 31744
  %finite = select i1 %is_small, i32 %small, i32 %normal
  %number = select i1 %is_large, i32 %infinite, i32 %finite
  %value = select i1 %is_nan, i32 %quiet, i32 %number
  %signed = or i32 %value, %sign
  %result = bitcast i32 %signed to float
  ret float %result
}
"""

TRUNCATE = """
define half @__truncsfhf2(float %x) nounwind willreturn memory(none) {
  %bits = bitcast float %x to i32
  %top = lshr i32 %bits, 16
  %sign = and i32 %top, 32768
  %size = and i32 %bits, 2147483647
  %moved = lshr i32 %size, 13
  %odd = and i32 %moved, 1
  %even = add i32 %odd, 3355447295           ; bias 127 -> 15; a half less, and ties to even
  %biased = add i32 %size, %even
  %normal = lshr i32 %biased, 13
  %magnitude = bitcast i32 %size to float
  %above = fadd float %magnitude, 0.5
  %units = bitcast float %above to i32
  %small = sub i32 %units, 1056964608
  %payload = and i32 %moved, 1023
  %quiet = or i32 %payload, 32256
  %is_small = icmp ult i32 %size, 947912704
  %is_large = icmp uge i32 %size, 1199570944
  %is_nan = icmp ugt i32 %size, 2139095040
  %finite = select i1 %is_small, i32 %small, i32 %normal
  %number = select i1 %is_large, i32 31744, i32 %finite
  %value = select i1 %is_nan, i32 %quiet, i32 %number
  %signed = or i32 %value, %sign
  %short = trunc i32 %signed to i16
  %result = bitcast i16 %short to half
  ret half %result
}
"""

FUNCTIONS = {"__extendhfsf2": EXTEND, "__truncsfhf2": TRUNCATE}
