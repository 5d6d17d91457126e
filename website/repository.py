"""The repository as pages: where a symbol stands, and a page with numbered lines for every file that is shown."""

import ast
import dataclasses
import functools
import html
import re
from pathlib import Path

import griffe
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files outside of `docs/` that get a page."""

FILE = re.compile(r"(?:smir|website|experiments|benchmarks|tests|docs)/[\w./-]*\.(?:py|yaml|mk|sh|md)")
"""The path of a file of the repository, as the pages write it."""
SYMBOL = re.compile(r"smir(?:\.(?!json$)\w+)+|test(?:_[a-z\d]+){3,}")
"""A symbol of the package, or a test by its bare name, which is a sentence."""


@dataclasses.dataclass(frozen=True)
class Lines:
    """The place that defines a symbol.

    Attributes:
        file: Path below the root of the repository.
        first: Its first line, from 1, decorators included.
        last: Its last line.
        docstring: First and last line of its docstring, if it has one.
    """

    file: str
    first: int
    last: int
    docstring: tuple[int, int] | None = None

    @property
    def place(self) -> str:
        """The place in words: `smir/method/losses.py, lines 44 to 51`."""
        span = f" {self.first}" if self.first == self.last else f"s {self.first} to {self.last}"
        return f"{self.file}, line{span}"

    def code(self) -> str:
        """The lines themselves, without the docstring, moved to the left."""
        lines = (ROOT / self.file).read_text(encoding="utf-8").splitlines()
        kept = [
            line
            for number, line in enumerate(lines[self.first - 1 : self.last], self.first)
            if self.docstring is None or not self.docstring[0] <= number <= self.docstring[1]
        ]
        margin = min(len(line) - len(line.lstrip()) for line in kept if line.strip())
        return "\n".join(line[margin:] for line in kept)


@functools.lru_cache(maxsize=1)
def _package() -> griffe.Object | griffe.Alias:
    """The code of smir as it was read, not imported."""
    return griffe.load("smir", search_paths=[ROOT])


@functools.lru_cache(maxsize=1)
def _tests() -> dict[str, Lines]:
    """Every test by its name."""
    return {
        function.name: Lines(path.relative_to(ROOT).as_posix(), function.lineno, function.end_lineno or function.lineno)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for function in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(function, ast.FunctionDef)
    }


def forget() -> None:
    """Reads the code anew next time: `mkdocs serve` builds again when it has changed."""
    _package.cache_clear()
    _tests.cache_clear()


def find(name: str) -> Lines:
    """Finds the lines that define a symbol, such as `smir.method.losses.patch_loss`, or a test.

    Raises:
        LookupError: If there is no such symbol.
    """
    if name.startswith("test_"):
        if name not in _tests():
            raise LookupError(f"There is no test {name}.")
        return _tests()[name]
    try:
        found = _package()[name.removeprefix("smir.")]
        found = found.final_target if isinstance(found, griffe.Alias) else found
    except (KeyError, griffe.AliasResolutionError) as error:
        raise LookupError(f"There is no {name} in smir.") from error
    assert isinstance(found, griffe.Object)
    file = Path(str(found.filepath)).relative_to(ROOT).as_posix()
    if found.is_module:
        return Lines(file, 1, len((ROOT / file).read_text(encoding="utf-8").splitlines()))
    first = min([found.lineno or 1, *(decorator.lineno for decorator in getattr(found, "decorators", ()))])
    text = found.docstring
    within = text is not None and text.lineno is not None and text.lineno <= (found.endlineno or 0)
    lines = (text.lineno, text.endlineno or text.lineno) if within and text is not None and text.lineno else None
    return Lines(file, first, found.endlineno or first, lines)


def page_of(file: str) -> str:
    """The page of a file of the repository, as mkdocs names sources: `source/smir/method/losses.py.md`."""
    if file.startswith("docs/"):
        return file.removeprefix("docs/")
    return PAGES.get(file, f"source/{file}.md")


def shown_files() -> list[str]:
    """Files that get a page with their source: the whole package, and what pages and docstrings name beside it."""
    sources = [*DOCS.rglob("*.md"), *map(ROOT.joinpath, PAGES), *(ROOT / "smir").rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in sources]
    named = {name for text in texts for name in FILE.findall(text) if not name.startswith("docs/")}
    named |= {_tests()[name].file for text in texts for name in re.findall(r"`(test_\w+)`", text) if name in _tests()}
    linked = {name for text in texts for name in re.findall(r"\]\((?:\.\./)?([\w./-]+)", text)}
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "smir").rglob("*.py")}
    files = package | {name for name in named | linked if (ROOT / name).is_file()}
    return sorted(name for name in files if page_of(name).startswith("source/"))


def source_html(file: str) -> str:
    """The text of a file as HTML with an anchor `L-<number>` at every line."""
    text = (ROOT / file).read_text(encoding="utf-8")
    try:
        lexer = get_lexer_for_filename(file)
    except ClassNotFound:
        return f"<pre>{html.escape(text)}</pre>"
    formatter = HtmlFormatter(linenos="inline", lineanchors="L", anchorlinenos=True, cssclass="highlight source")
    return str(highlight(text, lexer, formatter))
