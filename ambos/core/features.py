"""What the code generator must know of a processor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Features:
    """A target. `vector_bytes` is the register width that kernels are shaped for (32 for AVX2,
    64 for AVX-512, 16 for NEON), `registers` the number of vector registers."""

    triple: str
    cpu: str
    attributes: str  # LLVM's "+avx2,+fma,..." string
    vector_bytes: int = 32
    registers: int = 16
    l1_bytes: int = 32 << 10
    l2_bytes: int = 512 << 10

    @property
    def key(self) -> str:
        """Everything that shapes machine code (cache sizes do not)."""
        return f"{self.triple}|{self.cpu}|{self.attributes}|{self.vector_bytes}|{self.registers}"


AVX2 = Features("x86_64-unknown-linux-gnu", "x86-64-v3", "", 32, 16)
AVX512 = Features("x86_64-unknown-linux-gnu", "x86-64-v4", "", 64, 32)
NEON = Features("aarch64-unknown-linux-gnu", "generic", "+neon", 16, 32)
