"""Finds the links, anchors, code blocks and commands of a documentation page."""

import re
import shlex
from typing import NamedTuple

from words import REPOSITORY

from website.links import anchor

ROOT = REPOSITORY
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/**/*.md"))

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_OPERATORS = {"|", "&&", "||", ";", ">", ">>", "&"}


class Block(NamedTuple):
    language: str
    text: str
    line: int


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page):
    text = page.read_text(encoding="utf-8")
    return [Block(m[1], m[2], text[: m.start()].count("\n") + 2) for m in _FENCE.finditer(text)]


def section(page, title):
    """Returns the code blocks below one heading."""
    text = page.read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0]
    return [Block(m[1], m[2], 0) for m in _FENCE.finditer(text)]


def prose(page):
    """Returns the text without its code blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page):
    """Returns the targets of links and pictures that lead to files or anchors of the repository."""
    return [t for t in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if not re.match(r"https?:", t)]


def anchors(page):
    """Returns the anchors of the headings; of two equal ones, the second gets a number."""
    found = []
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        name = anchor(heading)
        same = sum(re.sub(r"-\d+$", "", other) == name for other in found)
        found.append(f"{name}-{same}" if same else name)
    return found


def lines(text):
    """Returns the lines of a shell block; lines that end in a backslash are joined."""
    return [line.strip() for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines() if line.strip()]


def smir_words(line):
    """Returns the words after `python -m smir`, or after a script that passes its words on, up to comments or pipes."""
    line = re.sub(r"(?:sbatch )?experiments/launch/\w+\.sh", "python -m smir", line)
    match = re.search(r"-m smir (.*)", line)
    if match is None or line.startswith("#"):
        return None
    words = shlex.split(match[1], comments=True)
    end = next((place for place, word in enumerate(words) if word in _OPERATORS), len(words))
    return words[:end]


def make_targets(text):
    """Returns the targets of the `make` commands in a text."""
    return [
        word
        for line in lines(text)
        for call in re.findall(r"(?:^|[;&`|] *)make +([^#`|;&]*)", line)
        for word in call.split()
        if re.fullmatch(r"[a-z][\w-]*", word)
    ]
