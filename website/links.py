"""Links that a page need not write: names of symbols and files become links, and links out of `docs/` lead to pages."""

import html
import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from website.repository import DOCS, FILE, ROOT, SYMBOL, Lines, find, page_of

_TARGET = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
_INLINE = re.compile(r"(?<!<pre>)(?<!<span></span>)<code>([^<]+)</code>(?!</a>)")
_SECTION = re.compile(r"(?:<code>)?METHOD\.md(?:</code>)? section (\d)")
_PAGE = re.compile(r'(?<![\w/">=])docs/([\w-]+)\.md(?!</a>|\w)')
_API_HEADING = re.compile(r'(<h\d id="(smir\.[\w.]+)" class="doc doc-heading">.*?)(</h\d>)', re.DOTALL)


def rewritten(markdown: str, file: Path, page: str) -> str:
    """Points relative links of a file of the repository to the pages of what they link to.

    Args:
        markdown: Text of the file.
        file: The file, whose links are relative to it.
        page: Its page, such as `index.md`.
    """

    def target(match: re.Match[str]) -> str:
        path = (file.parent / match[2]).resolve()
        if not path.is_file() or not path.is_relative_to(ROOT):
            return match[0]
        return match[1] + relative(page_of(path.relative_to(ROOT).as_posix()), page) + match[3]

    return _TARGET.sub(target, markdown)


def relative(page: str, start: str) -> str:
    """The path from one page to another."""
    return posixpath.relpath(page, posixpath.dirname(start))


def linked(content: str, page: str, problem: Callable[[str], None]) -> str:
    """Makes links of the inline code of a page that names a symbol or a file of the repository.

    Args:
        content: HTML of the page.
        page: The page, such as `api/method.md`.
        problem: Called with a message for every name that does not exist.
    """

    def link(match: re.Match[str]) -> str:
        name = html.unescape(match[1])
        if SYMBOL.fullmatch(name):
            try:
                lines = find(name)
            except LookupError as error:
                problem(f"{page}: {error}")
                return match[0]
            return f'<a href="{_address(lines, page)}" title="{lines.place}">{match[0]}</a>'
        if FILE.fullmatch(name):
            if not (ROOT / name).is_file():
                problem(f"{page}: there is no file {name}.")
                return match[0]
            return f'<a href="{_html(relative(page_of(name), page))}">{match[0]}</a>'
        return match[0]

    content = _API_HEADING.sub(lambda match: match[1] + _source_link(match[2], page) + match[3], content)
    content = _PAGE.sub(lambda match: _page_link(match, page), content)
    content = _INLINE.sub(link, content)
    return content if page == "METHOD.md" else _SECTION.sub(lambda match: _section(match, page), content)


def _source_link(name: str, page: str) -> str:
    try:
        lines = find(name)
    except LookupError:  # mkdocstrings shows what is inherited as well
        return ""
    return f'<a class="to-source" href="{_address(lines, page)}" title="{lines.place}">source</a>'


def _page_link(match: re.Match[str], page: str) -> str:
    """A page that a docstring names in plain text, as `docs/report.md`."""
    name = f"{match[1]}.md"
    return f'<a href="{_html(relative(name, page))}">{match[0]}</a>' if (DOCS / name).is_file() else match[0]


def _address(lines: Lines, page: str) -> str:
    return f"{_html(relative(page_of(lines.file), page))}#L-{lines.first}"


def _html(page: str) -> str:
    return page.removesuffix(".md") + ".html"


def _section(match: re.Match[str], page: str) -> str:
    anchor = _sections().get(match[1])
    return f'<a href="{_html(relative("METHOD.md", page))}#{anchor}">{match[0]}</a>' if anchor else match[0]


def _sections() -> dict[str, str]:
    """Anchor of every section of METHOD.md, by its number."""
    headings = re.findall(r"^## (\d)\. (.*)$", (DOCS / "METHOD.md").read_text(encoding="utf-8"), re.MULTILINE)
    return {number: anchor(f"{number}. {title}") for number, title in headings}


def anchor(heading: str) -> str:
    """The anchor of a heading, made as GitHub and the site make it."""
    text = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
