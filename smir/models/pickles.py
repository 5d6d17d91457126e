"""Looks through the pickle of a checkpoint before torch reads it, because torch bounds neither time nor memory."""

import pickletools
from typing import IO, Any

_LONGEST = 4 << 20
"""Most bytes of a pickle. It holds no tensor values, so that of a large network has 1 MB."""
_MOST_HASHED, _MOST_TUPLES, _LARGEST_INT = 50_000_000, 50_000, 1 << 71
"""A tensor needs five tuples. Tuples and larger integers can be chosen so that all have the same hash. A dict of n of
them then takes n² steps."""
_MAGIC = 0x1950A86A20F9469CFC6C
_MAKES_MEMORY = "builtins bytearray"
"""Called with a number, it allocates that many bytes."""


def look_through(file: IO[bytes]) -> None:
    """Reads a pickle to its end without creating any object.

    Raises:
        ValueError: If it is damaged, too long, makes memory, or holds keys that take hours to hash.
    """
    first, hashed, tuples = file.tell(), 0, 0
    stack: list[int] = []  # for each object, the number of values that hashing it visits
    marks: list[int] = []
    memo: dict[Any, int] = {}
    for opcode, argument, place in pickletools.genops(file):
        if (place or 0) - first > _LONGEST:
            raise ValueError(f"its pickle is longer than {_LONGEST:,} bytes")
        if argument == _MAKES_MEMORY and opcode.name == "GLOBAL":
            raise ValueError("it calls bytearray")
        if isinstance(argument, int) and abs(argument) > _LARGEST_INT and argument != _MAGIC:
            raise ValueError("it has an integer of more than 72 bits")
        tuples += "TUPLE" in opcode.name
        if tuples > _MOST_TUPLES:
            raise ValueError(f"it has more than {_MOST_TUPLES:,} tuples")
        if opcode.name == "MARK":
            marks.append(len(stack))
        elif "PUT" in opcode.name:
            memo[argument] = stack[-1]
        elif "GET" in opcode.name:
            stack.append(memo[argument])
            hashed += stack[-1]
        else:
            slices = pickletools.stackslice in opcode.stack_before
            start = (marks.pop() if slices else len(stack)) - len(opcode.stack_before) + 2 * slices
            inner = sum(stack[start:]) if "TUPLE" in opcode.name else 0
            stack[start:] = [1 + inner] * len(opcode.stack_after)
            hashed += 1 + inner
        if hashed > _MOST_HASHED:
            raise ValueError("its shared references make tuples that take hours to hash")
