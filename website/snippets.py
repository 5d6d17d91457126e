"""Two things a page may hold: symbols, shown as the code that defines them, and formulas, shown as MathML."""

import html
import re
from collections.abc import Callable

from latex2mathml.converter import convert

from website.repository import find

_BLOCK = re.compile(r"^```code\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FORMULA = re.compile(r'<(div|span) class="arithmatex">\\[\[(](.*?)\\[\])]</\1>([.,:;)]*)', re.DOTALL)
_SHORT = 16
"""Lines up to which code is shown unfolded."""


def with_code(markdown: str, page: str, problem: Callable[[str], None]) -> str:
    """Replaces the blocks of language `code`, which hold a symbol a line, by the code of these symbols.

    Args:
        markdown: Text of the page.
        page: The page, for the message.
        problem: Called with a message for every symbol that does not exist.
    """

    def shown(match: re.Match[str]) -> str:
        parts = []
        for name in match[1].split():
            try:
                lines = find(name)
            except LookupError as error:
                problem(f"{page}: {error}")
                continue
            code = lines.code().splitlines()
            fold = "???+" if len(code) <= _SHORT else "???"
            body = "\n".join(f"    {line}".rstrip() for line in ["```python", *code, "```"])
            parts.append(f'{fold} quote "`{name}` · {lines.place}"\n\n{body}\n')
        return "\n".join(parts)

    return _BLOCK.sub(shown, markdown)


def with_formulas(content: str) -> str:
    """Replaces TeX in the HTML of a page by MathML, which browsers draw without a script."""

    def formula(match: re.Match[str]) -> str:
        display = "block" if match[1] == "div" else "inline"
        drawn = convert(html.unescape(match[2]).strip(), display=display)
        return f'<{match[1]} class="formula">{drawn}{match[3]}</{match[1]}>'  # keeps its full stop beside it

    return _FORMULA.sub(formula, content)
