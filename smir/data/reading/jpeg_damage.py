"""Finds JPEGs that are damaged in the middle: decoders read on, and libjpeg reports the damage only on stderr."""

import math
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from smir.data.reading.parallel import cores, in_parallel
from smir.errors import counted, first_few
from smir.files.pictures import loader_of
from smir.terminal import warn

_LEAST, _MOST = 32, 256
"""Files for each process; starting one takes as long as reading a few dozen photographs."""
_WARNING = re.compile(r"^(?:Corrupt JPEG data: (.+)|(Premature end of JPEG file))$", re.MULTILINE)
_PROGRAM = r"""
import os, sys
sys.path = [folder for folder in sys.path if folder]  # without the working folder
import cv2, numpy
for name in sys.stdin.buffer.read().split(b"\0"):
    try:
        with open(name, "rb") as file:
            cv2.imdecode(numpy.frombuffer(file.read(), numpy.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
    except (OSError, cv2.error):
        pass
    os.write(2, b"\0")
"""
"""Only OpenCV reads a JPEG to its end, and so notices bytes that are left over. An eighth of the size is fastest."""


def damaged_jpegs(paths: Sequence[Path], threads: int | None = None) -> dict[Path, str]:
    """Decodes the JPEGs among some files; returns what libjpeg says about the damaged ones."""
    jpegs = [path for path in paths if path.is_file() and loader_of(path) == "jpegload"]
    size = max(_LEAST, min(_MOST, math.ceil(len(jpegs) / (threads or cores()))))
    parts = [jpegs[start : start + size] for start in range(0, len(jpegs), size)]
    found: dict[Path, str] = {}
    for part, texts in zip(parts, in_parallel(_said, parts, "JPEGs", threads), strict=True):
        said = ((path, _WARNING.search(text)) for path, text in zip(part, texts, strict=False))
        found |= {path: match[1] or match[2] for path, match in said if match}
    return found


def _said(paths: Sequence[Path]) -> list[str]:
    names = b"\0".join(os.fsencode(path.absolute()) for path in paths)
    done = subprocess.run([sys.executable, "-c", _PROGRAM], input=names, capture_output=True, check=False)
    if done.returncode:
        jpegs = counted(len(paths), "JPEG was", "JPEGs were")
        warn(f"{jpegs} not checked for damage: the process for that ended with code {done.returncode}.")
    return done.stderr.decode(errors="replace").split("\0")


def note_on_damage(found: Mapping[Path, str]) -> str:
    """Returns a sentence about what `damaged_jpegs` found."""
    names = first_few(f"{path.name} ({reason})" for path, reason in found.items())
    return (
        f"{counted(len(found), 'JPEG is', 'JPEGs are')} damaged, but can be decoded: {names}. Look at them: parts may "
        "be grey, shifted or in other colours. Then copy or export them again. A few extraneous bytes "
        "before 0xd9 do no harm."
    )
