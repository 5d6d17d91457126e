"""`python -m smir report`: the tables and figures of the paper from finished runs."""

from pathlib import Path
from typing import Literal


def report(
    runs: list[Path] | Path = Path("runs"),
    out: Path = Path("report"),
    expect: Literal["paper"] | None = None,
    short: bool = False,
) -> None:
    """Compares all finished and tested runs, as Markdown, CSV, LaTeX and one self-contained page with plots.

    `python -m smir report runs --out report`. Figures are IoU in percent over the whole test split. Runs are averaged
    only if they differ in nothing but the seed, others get separate rows; docs/report.md explains every table.

    Args:
        runs: Folders that hold the runs; words without an option are folders too.
        out: Folder for `index.html`, `report.md`, `tables.tex`, `tables/` and `figures/`.
        expect: `paper` shows all rows and datasets of the paper, and says which are missing. Default: those with runs.
        short: Print one line for each row instead of the main tables; the files are the same.

    Raises:
        SmirError: If there is no finished and tested run, a record is damaged, or nothing can be written to `out`.
    """
    from smir.files.atomic import refuse_unwritable
    from smir.report.build import build
    from smir.report.formats import table_lines

    refuse_unwritable(out)
    made = build(runs if isinstance(runs, list) else [runs], expect_paper=expect == "paper")
    index = made.write(out)
    if short:
        print("\n".join(made.brief))
    for section in made.sections:
        if section.title.startswith("Main table") and not short:
            for table in section.tables:
                print("\n".join([table.title, "", *table_lines(table), "", table.caption, ""]))
        if not short:
            print("".join(f"Warning: {text}\n\n" for text in section.warnings), end="")
    if made.variants and not short:
        print("\n".join(made.variants), end="\n\n")
    print(f"{made.summary}\nThe same with all tables, figures, commands and commits: {index.absolute()}")


COMMANDS = report
WORDS = "runs"
