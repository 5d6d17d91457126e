"""From folders to a report on disk."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from smir.atomic import write_atomically
from smir.report.ablation_section import ablation_section
from smir.report.budget_section import budget_section
from smir.report.cells import Results, title_of
from smir.report.class_section import class_section
from smir.report.cross_section import cross_section
from smir.report.csv_files import csv_of, runs_csv
from smir.report.document import Section
from smir.report.latex import latex
from smir.report.main_section import main_section
from smir.report.markdown import markdown
from smir.report.page import page
from smir.report.picture_section import picture_section
from smir.report.pretraining_section import pretraining_section
from smir.report.provenance_section import provenance_section, unused_section
from smir.report.tree import Tree, read_tree


@dataclasses.dataclass(frozen=True)
class Report:
    """A report, ready to be written.

    Attributes:
        tree: The runs behind it.
        summary: A sentence about them.
        sections: Its parts.
    """

    tree: Tree
    summary: str
    sections: list[Section]

    def write(self, out: Path) -> Path:
        """Writes `report.md`, `tables.tex`, `tables/*.csv`, `figures/*.svg`, and last the page, which is returned.

        What an earlier report left in the two folders and this one does not have is deleted.
        """
        tables = [table for section in self.sections for table in section.tables]
        figures = {figure.name: figure.svg for section in self.sections for figure in section.figures}
        write_atomically(out / "report.md", markdown(self.sections))
        write_atomically(out / "tables.tex", latex([table for table in tables if table.typeset]))
        _write_all(out / "tables", ".csv", {table.name: csv_of(table) for table in tables})
        write_atomically(out / "tables" / "runs.csv", runs_csv(self.tree.tested))
        _write_all(out / "figures", ".svg", figures)
        write_atomically(out / "index.html", page(self.sections, self.summary))
        return out / "index.html"


def build(roots: Sequence[Path]) -> Report:
    """Reads the runs below the folders and makes all tables and figures.

    Raises:
        RunError: If there is no tested run, a record is damaged, or runs of one cell must not be averaged.
    """
    tree = read_tree(roots)
    results = Results(tree.tested)
    sections = [
        make(results, protocol)
        for protocol in results.protocols
        for make in (main_section, class_section, cross_section, budget_section, ablation_section)
    ]
    sections += [
        pretraining_section(tree.pretrained),
        picture_section(results, tree.pretrained),
        unused_section(tree),
        provenance_section(results.cells, tree.pretrained),
    ]
    found = dict.fromkeys(
        benchmark.dataset for protocol in results.protocols for benchmark in results.benchmarks(protocol)
    )
    datasets = ", ".join(title_of(dataset) for dataset in found)
    summary = (
        f"{len(tree.tested)} tested segmentations of {datasets}, {len(tree.pretrained)} pretrainings, "
        f"{len(tree.unfinished)} unfinished runs below {', '.join(map(str, roots))}."
    )
    return Report(tree, summary, [section for section in sections if _has_content(section)])


def _has_content(section: Section) -> bool:
    return bool(section.tables or section.figures or section.pictures or section.lists)


def _write_all(folder: Path, ending: str, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        write_atomically(folder / f"{name}{ending}", text)
    for old in folder.glob(f"*{ending}"):
        if old.stem not in texts:
            old.unlink()
