"""`emit_woven`: a whole loop or branch as the text of an LLVM module, with the kernels it calls.

Everything that changes from step to step lies on the stack (addresses of cells, counters, arguments
of the calls), in the plainest way: LLVM makes registers of it once the calls are inlined.
"""

from __future__ import annotations

import re

from ambos.compiler.woven import Argument, Call, Few, Given, Local, Number, Place, Weft, Woven

ASKED = 1024  # steps after which a loop asks whether to go on
ASKED_OUTSIDE = 16  # the same for loops around others, which ask for themselves
HEADING = re.compile(r"define void (@\S+)\((.*?)\) nounwind \{")


def emit_woven(woven: Woven, name: str) -> str:
    """The LLVM module that defines @name with the kernel ABI of core.program."""
    text = Text(woven, name).function()
    entry = (
        f'define void @"{name}"(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {{\n'
        f'  %over = call i64 @"{name}.run"(ptr %args, i64 0, ptr %scratch)\n  ret void\n}}'
    )
    kernels = {call.name: call.kernel for part in woven.parts for call in part.calls}
    modules = [HEADING.sub(INLINED, kernel.emit()) for kernel in kernels.values()]
    return merged([entry, text, *modules])


DECLARATIONS = """declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare i32 @llvm.smax.i32(i32, i32)
declare i32 @llvm.smin.i32(i32, i32)"""
INLINED = r"define internal void \1(\2) alwaysinline nounwind {"


def merged(modules: list[str]) -> str:
    """One module of several, in which what occurs in more than one stands once."""
    found: dict[str, None] = {}
    for module in modules:
        block: list[str] = []
        for line in module.splitlines():
            block.append(line)
            if line == "}" or not (line.startswith((" ", "define")) or len(block) > 1):
                found["\n".join(block)] = None
                block = []
    return "\n".join([*found, ""])


class Text:
    """Writes the function that does it all and returns 0, or not 0 where it gave up."""

    def __init__(self, woven: Woven, name: str) -> None:
        self.woven, self.name = woven, name
        self.heads: dict[str, str] = {}  # of the entry block: instruction, register
        self.lines: list[str] = []
        self.counter = 0
        self.moving = {cell for cell, _ in woven.slides}
        self.moving |= {cell for swap in woven.swaps for cell in swap[:2]}

    def function(self) -> str:
        self.begin()
        {"repeat": self.repeat, "until": self.until, "choose": self.choose}[self.woven.how]()
        entry = "\n".join(f"  {name} = {text}" for text, name in self.heads.items())
        heading = f'@"{self.name}.run"(ptr %args, i64 %base, ptr %scratch)'
        body = "\n".join(self.lines)
        return (
            f"define internal i64 {heading} alwaysinline nounwind {{\nentry:\n{entry}\n{body}\n"
            "over:\n  ret i64 1\n}\n" + DECLARATIONS
        )

    # --- instructions ----------------------------------------------------------------------------

    def put(self, text: str) -> str:
        self.counter += 1
        self.lines.append(f"  %v{self.counter} = {text}")
        return f"%v{self.counter}"

    def do(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def label(self, name: str) -> None:
        """A block that the one before runs into."""
        self.do(f"br label %{name}")
        self.lines.append(f"{name}:")

    def fork(self, condition: str, yes: str, no: str) -> None:
        self.do(f"br i1 {condition}, label %{yes}, label %{no}")

    def head(self, text: str) -> str:
        """An instruction of the entry block."""
        return self.heads.setdefault(text, f"%h{len(self.heads)}")

    def word(self, number: int, kind: str = "ptr") -> str:
        place = self.head(f"getelementptr i64, ptr %args, i64 {number}")
        return self.head(f"load {kind}, ptr {place}, align 8")

    def number(self, number: Number) -> str:
        return self.word(number.word, "i64") if isinstance(number, Given) else str(number)

    def area(self, name: str, kind: str) -> str:
        """The address of memory on the stack."""
        found = self.heads.setdefault(f"alloca {kind}, align 64 ; {name}", f"%{name}")
        return found

    def copy(self, to: str, source: str, nbytes: str) -> None:
        self.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {to}, ptr {source}, i64 {nbytes}, i1 false)")

    def copy_few(self, to: str, source: str, few: Few) -> None:
        for number in range(few.count):
            one = self.put(f"getelementptr {few.kind}, ptr {source}, i64 {number}")
            two = self.put(f"getelementptr {few.kind}, ptr {to}, i64 {number}")
            self.do(f"store {few.kind} {self.put(f'load {few.kind}, ptr {one}')}, ptr {two}")

    # --- cells -----------------------------------------------------------------------------------

    def own(self, number: int) -> str | None:
        """The memory of a cell that has memory of its own."""
        few = self.woven.cells[number].own
        return None if few is None else self.area(f"own{number}", f"[{few.count} x {few.kind}]")

    def address(self, number: int) -> str:
        """The address that a cell holds now."""
        own = self.own(number)
        if own is not None:
            return own
        if number in self.moving:
            return self.put(f"load ptr, ptr {self.area(f'cell{number}', 'ptr')}")
        cell = self.woven.cells[number]
        offset = self.number(cell.offset)
        return self.head(f"getelementptr i8, ptr {self.word(cell.word)}, i64 {offset}")

    def begin(self) -> None:
        for number, cell in enumerate(self.woven.cells):
            if cell.own is not None:
                if cell.source is not None:
                    self.copy_few(self.address(number), self.word(cell.source), cell.own)
            elif number in self.moving:
                offset = self.number(cell.offset)
                place = self.put(f"getelementptr i8, ptr {self.word(cell.word)}, i64 {offset}")
                self.do(f"store ptr {place}, ptr {self.area(f'cell{number}', 'ptr')}")
        for to, source, nbytes in self.woven.copies:
            self.copy(self.word(to), self.word(source), self.number(nbytes))

    def move(self) -> None:
        """From one step to the next."""
        for number, stride in self.woven.slides:
            place = self.address(number)
            beyond = self.put(f"getelementptr i8, ptr {place}, i64 {self.number(stride)}")
            self.do(f"store ptr {beyond}, ptr {self.area(f'cell{number}', 'ptr')}")
        swaps = [(read, made, *words) for read, made, *words in self.woven.swaps]
        for read, made, *words in swaps:
            result, few = self.address(made), self.woven.cells[read].own
            if few is not None:
                self.copy_few(self.address(read), result, few)
                continue
            one, two = (self.word(word) for word in words)
            same = self.put(f"icmp eq ptr {result}, {one}")
            other = self.put(f"select i1 {same}, ptr {two}, ptr {one}")
            self.do(f"store ptr {result}, ptr {self.area(f'cell{read}', 'ptr')}")
            self.do(f"store ptr {other}, ptr {self.area(f'cell{made}', 'ptr')}")

    def settle(self) -> None:
        """What is left in the end."""
        for number, cell in enumerate(self.woven.cells):
            if cell.own is not None and cell.target is not None:
                self.copy_few(self.word(cell.target), self.address(number), cell.own)
        for number, (to, cell_number, nbytes) in enumerate(self.woven.settles):
            target, source = self.word(to), self.address(cell_number)
            same = self.put(f"icmp eq ptr {target}, {source}")
            self.fork(same, f"settled{number}", f"settle{number}")
            self.lines.append(f"settle{number}:")
            self.copy(target, source, self.number(nbytes))
            self.label(f"settled{number}")
        self.do("ret i64 0")

    # --- steps -----------------------------------------------------------------------------------

    def part(self, number: int) -> None:
        """The launches of a part, and what it complains about."""
        part = self.woven.parts[number]
        for place, call in enumerate(part.calls):
            self.call(call, f"{number}.{place}")
        if part.check is not None:
            self.check(part, part.check, number)

    def call(self, call: Call, mark: str) -> None:
        area = self.area(f"args{mark}", f"[{max(1, len(call.arguments))} x i64]")
        for number, argument in enumerate(call.arguments):
            kind, value = self.argument(argument)
            place = self.put(f"getelementptr i64, ptr {area}, i64 {number}")
            self.do(f"store {kind} {value}, ptr {place}, align 8")
        if call.base is None:
            items = self.number(call.items)
            self.do(f'call void @"{call.name}"(ptr {area}, i64 0, i64 {items}, ptr %scratch)')
            return
        base = self.put(f"add i64 %base, {call.base}")
        over = self.put(f'call i64 @"{call.name}.run"(ptr {area}, i64 {base}, ptr %scratch)')
        self.fork(self.put(f"icmp ne i64 {over}, 0"), "over", f"on{mark}")
        self.lines.append(f"on{mark}:")

    def argument(self, argument: Argument) -> tuple[str, str]:
        match argument:
            case Place(cell, offset):
                place = self.address(cell)
                return "ptr", self.put(f"getelementptr i8, ptr {place}, i64 {self.number(offset)}")
            case Local(number, offset):
                few = self.woven.temporaries[number]
                place = self.area(f"temporary{number}", f"[{few.count} x {few.kind}]")
                return "ptr", self.put(f"getelementptr i8, ptr {place}, i64 {offset}")
            case _:
                return "i64", self.number(argument)

    def check(self, part: Weft, cell: int, number: int) -> None:
        found = self.put(f"load i32, ptr {self.address(cell)}")
        self.fork(self.put(f"icmp ne i32 {found}, 0"), f"refuse{number}", f"good{number}")
        self.lines.append(f"refuse{number}:")
        wide = self.put(f"zext i32 {found} to i64")
        first = self.put(f"add i64 %base, {part.base}")
        complaint = self.put(f"add i64 {wide}, {first}")
        watch = self.word(self.woven.watch)
        place = self.put(f"getelementptr i64, ptr {watch}, i64 1")
        self.do(f"store i64 {complaint}, ptr {place}")
        self.ask()
        self.do("br label %over")
        self.lines.append(f"good{number}:")

    def ask(self) -> str:
        watch = self.word(self.woven.watch)
        return self.put(f"call i64 {self.put(f'load ptr, ptr {watch}')}(ptr {watch}) cold")

    # --- loops -----------------------------------------------------------------------------------

    def turns(self) -> None:
        """Where a step begins. In front of it the blocks of steps after which it is asked."""
        asked = ASKED if self.woven.is_innermost else ASKED_OUTSIDE
        left = self.area("left", "i64")
        self.label("asked")
        self.do(f"store i64 {asked}, ptr {left}")
        self.label("turn")

    def again(self) -> None:
        """The end of a step that another one follows."""
        self.move()
        left = self.area("left", "i64")
        rest = self.put(f"sub i64 {self.put(f'load i64, ptr {left}')}, 1")
        self.do(f"store i64 {rest}, ptr {left}")
        self.fork(self.put(f"icmp eq i64 {rest}, 0"), "ask", "turn")
        self.lines.append("ask:")
        self.fork(self.put(f"icmp ne i64 {self.ask()}, 0"), "over", "asked")

    def repeat(self) -> None:
        count = self.area("count", "i64")
        self.do(f"store i64 1, ptr {count}")
        self.turns()
        self.part(0)
        done = self.put(f"load i64, ptr {count}")
        self.fork(
            self.put(f"icmp slt i64 {done}, {self.number(self.woven.length)}"), "again", "end"
        )
        self.lines.append("again:")
        self.do(f"store i64 {self.put(f'add i64 {done}, 1')}, ptr {count}")
        self.again()
        self.lines.append("end:")
        self.settle()

    def until(self) -> None:
        self.turns()
        self.part(0)
        holds = self.put(f"load i8, ptr {self.address(self.woven.flag)}")
        self.fork(self.put(f"icmp ne i8 {holds}, 0"), "again", "end")
        self.lines.append("again:")
        self.part(1)
        self.again()
        self.lines.append("end:")
        self.settle()

    def choose(self) -> None:
        parts = range(len(self.woven.parts))
        asked = self.put(f"load i32, ptr {self.word(self.woven.number)}")
        low = self.put(f"call i32 @llvm.smax.i32(i32 {asked}, i32 0)")
        chosen = self.put(f"call i32 @llvm.smin.i32(i32 {low}, i32 {len(parts) - 1})")
        cases = " ".join(f"i32 {number}, label %branch{number}" for number in parts)
        self.do(f"switch i32 {chosen}, label %branch0 [{cases}]")
        for number in parts:
            self.lines.append(f"branch{number}:")
            self.part(number)
            self.do("br label %end")
        self.lines.append("end:")
        self.settle()
