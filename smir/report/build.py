"""From folders to a report on disk."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from smir.errors import counted, first_few
from smir.files.atomic import write_atomically
from smir.files.pages.folder import OwnFiles
from smir.report.brief import brief, not_shown
from smir.report.cells import Protocol, cells_of, protocols_of, title_of
from smir.report.class_section import class_section
from smir.report.document import Section
from smir.report.formats import csv_of, latex, markdown, page, runs_csv
from smir.report.main_section import comparison_warnings, cross_section, main_section, one_seed_warning
from smir.report.run_sections import picture_section, pretraining_section, provenance_section, unused_section
from smir.report.tree import Tree, read_tree
from smir.report.variant_sections import ablation_section, budget_section

CONTENTS = "contents.json"
"""The list of a report's files; the next report deletes those it does not write again."""


@dataclasses.dataclass(frozen=True)
class Report:
    """A report, ready to be written, with the runs behind it, a sentence about them, and one line for each row."""

    tree: Tree
    summary: str
    sections: list[Section]
    brief: list[str]
    variants: list[str]

    def write(self, out: Path) -> Path:
        """Writes `report.md`, `tables.tex`, `tables/*.csv`, `figures/*.svg`, and last the page, which is returned.

        Deletes the files of an earlier report that this one does not write, and nothing else.

        Raises:
            RunError: If a file in one of these places does not come from an earlier report.
        """
        tables = [table for section in self.sections for table in section.tables]
        texts = {
            "report.md": markdown(self.sections),
            "tables.tex": latex(tables),
            **{f"tables/{table.name}.csv": csv_of(table) for table in tables},
            "tables/runs.csv": runs_csv(self.tree.tested),
            **{f"figures/{figure.name}.svg": figure.svg for part in self.sections for figure in part.figures},
            "index.html": page(self.sections, self.summary),
        }
        own = OwnFiles(out, CONTENTS)
        own.refuse_others(texts)
        own.begin(texts)
        for name, text in texts.items():
            write_atomically(out / name, text)
        own.finish(texts)
        return out / "index.html"


def build(roots: Sequence[Path], expect_paper: bool = False) -> Report:
    """Reads the runs below the folders and makes all tables and figures; if asked, also rows of the paper without runs.

    Raises:
        RunError: If there is no tested run, or a record is damaged.
    """
    tree = read_tree(roots)
    cells = cells_of(tree.tested)
    protocols = protocols_of(cells, expect_paper)
    sections = [section for protocol in protocols for section in _sections_of(protocol)]
    sections += [
        pretraining_section(tree.pretrained),
        picture_section(protocols, tree.pretrained),
        unused_section(tree),
        provenance_section(cells, tree.pretrained),
    ]
    datasets = dict.fromkeys(title_of(dataset) for protocol in protocols for dataset in protocol.datasets)
    tested = counted(len(tree.tested), "tested segmentation", "tested segmentations")
    pretrained = counted(len(tree.pretrained), "pretraining", "pretrainings")
    unfinished = counted(len(tree.unfinished), "unfinished run", "unfinished runs")
    below = ", ".join(map(str, roots))
    summary = f"{tested} of {', '.join(datasets)}, {pretrained}, {unfinished} below {below}."
    if tree.lost:
        summary += f" Lost since their runs ended: {first_few(tree.lost, 5)}."
    lines = [line for protocol in protocols for line in brief(protocol)]
    variants = [line for protocol in protocols for line in not_shown(protocol)]
    return Report(tree, summary, [section for section in sections if not section.is_empty], lines, variants)


def _sections_of(protocol: Protocol) -> list[Section]:
    """Returns the sections of a protocol that are not empty; the first has the warnings about all of them."""
    makers = (main_section, class_section, cross_section, budget_section, ablation_section)
    sections = [section for make in makers if not (section := make(protocol)).is_empty]
    for section in sections[:1]:
        section.warnings[:0] = one_seed_warning(protocol) + comparison_warnings(protocol)
    for section in sections:
        section.tables[:] = [dataclasses.replace(each, seeds_said=protocol.has_one_seed) for each in section.tables]
    return sections
