"""The report as Markdown, with its figures beside it."""

from collections.abc import Sequence

from smir.report.document import Section
from smir.report.tables import Table, in_one_line


def markdown(sections: Sequence[Section]) -> str:
    """Returns the whole report; figures are links to `figures/<name>.svg`."""
    lines = ["# smir: results", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        for text in section.text:
            lines += [text, ""]
        lines += [f"> **Warning:** {text}\n" for text in section.warnings]
        for table in section.tables:
            lines += [f"### {table.title}", "", *table_lines(table), "", table.caption, ""]
        for figure in section.figures:
            lines += [f"![{figure.caption}](figures/{figure.name}.svg)", "", f"*{figure.caption}*", ""]
        for name, entries in section.lists.items():
            lines += [f"### {name}", ""] if name else []
            for text, commands in entries:
                lines += [f"- {text}", *(f"  - `{command}`" for command in commands)]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def table_lines(table: Table) -> list[str]:
    """Returns a table as aligned lines; a name over several columns goes in front of each."""
    head = [f"{column.group}: {column.head}" if column.group else column.head for column in table.columns]
    grid = [
        [cell.replace("|", "\\|") for cell in row] for row in (head, *(map(in_one_line, row) for row in table.cells()))
    ]
    widths = [max(map(len, cells)) for cells in zip(*grid, strict=True)]
    first, *rows = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in grid]
    return [first, "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rows]
