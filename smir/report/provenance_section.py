"""The command and commit behind every number, and the runs that no number rests on."""

from collections.abc import Sequence

from smir.report.cells import TITLES, Cell, title_of
from smir.report.document import Section
from smir.report.stored import StoredRun
from smir.report.tree import Tree

Line = tuple[str, list[str]]


def provenance_section(cells: Sequence[Cell], pretrained: Sequence[StoredRun]) -> Section:
    """Returns the runs of every cell, then those of pretraining, each with commit and commands."""
    lists: dict[str, list[Line]] = {}
    for cell in sorted(cells, key=_order):
        first = cell.first
        name = f"{title_of(first.dataset)}, {first.init}"
        name += f", {first.variant}" if first.variant else ""
        name += f" ({first.protocol}; {first.labels:,} labelled images)" if first.protocol else f" ({first.labels:,})"
        lists[name] = [_tested(run) for run in cell.runs]
    if pretrained:
        lists["Pretraining"] = [
            (_words(run), _commands(run)) for run in sorted(pretrained, key=lambda r: str(r.folder))
        ]
    return Section(
        "Where every number comes from",
        text=[
            "Every run with its mIoU at the view, its commit and the commands of all its starts; `+` marks a commit "
            "with changes that were not committed."
        ],
        lists=lists,
    )


def unused_section(tree: Tree) -> Section:
    """Returns the runs that are in no table: unfinished ones, and those that cannot be used."""
    lists: dict[str, list[Line]] = {}
    if tree.unfinished:
        lists["Unfinished"] = [(f"{run.folder}: {run.progress}", []) for run in tree.unfinished]
    if tree.left_out:
        lists["Finished, but left out"] = [(f"{run.folder}: {reason}", []) for run, reason in tree.left_out]
    return Section("Runs that are in no table", lists=lists)


def _order(cell: Cell) -> tuple[int, str, str, str, str]:
    order, first = list(TITLES), cell.first
    place = order.index(first.dataset) if first.dataset in order else len(order)
    return place, first.dataset, first.protocol or "", first.init, first.variant or ""


def _tested(run: StoredRun) -> Line:
    miou = run.metric("view/miou")
    figure = "no mIoU" if miou is None else f"mIoU {miou:.2f}"
    weights = run.weights
    behind = ""
    if "experiment" in weights:
        visits = weights.get("image_visits", 0)
        behind = (
            f"; weights of {weights['experiment']}, seed {weights['seed']}, {visits:,} image visits, commit "
            f"{weights.get('commit', 'unknown')}"
        )
    return f"{figure}: {_words(run)}{behind}", _commands(run)


def _words(run: StoredRun) -> str:
    commits = " then ".join(dict.fromkeys(start.get("commit", "unknown") for start in run.starts)) or "unknown"
    return f"{run.folder}, seed {run.seed}, commit {commits}"


def _commands(run: StoredRun) -> list[str]:
    return list(dict.fromkeys(start.get("command", "unknown") for start in run.starts))
