"""Sections about runs: pretraining curves, example pictures, and where every number comes from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smir.report.cells import MIOU, Cell, Protocol, order_of, title_of
from smir.report.document import NOT_MEANT, Column, Entry, Figure, Picture, Section, Table
from smir.report.plots import CURVES, stages
from smir.report.stored import StoredRun
from smir.report.tree import Tree

TEST_IMAGES = 2
"""Test images shown for every row; a run keeps more."""

Line = tuple[str, list[str]]


def pretraining_section(runs: Sequence[StoredRun]) -> Section:
    """Returns one figure for every pretraining with all its seeds, and a table of final losses."""
    runs = sorted(runs, key=lambda run: (*_order(run), run.seed))
    groups: dict[tuple[object, ...], list[StoredRun]] = {}
    for run in runs:
        groups.setdefault((*_order(run), run.record["hash"]), []).append(run)
    figures = []
    for number, members in enumerate(groups.values()):
        first = members[0]
        title = f"{title_of(first.dataset)}, {first.name}"
        seeds = ", ".join(str(run.seed) for run in members)
        caption = f"{title}{f' (protocol: {first.protocol})' if first.protocol else ''}; seed {seeds}."
        curves = [{name: run.curve(name) for name in CURVES} for run in members]
        figures.append(Figure(f"pretraining-{number}", caption, stages(curves, title)))
    text = (
        "The curves show the loss on the validation part (thick) and on the training part (thin) over epochs, and of "
        "two fillings that learn nothing: masked patches with the mean colour (dotted), or interpolated from their "
        "visible neighbours (dashed). Every stage, numbered above, has other images and masks: compare losses within "
        "a stage only."
    )
    return Section("Pretraining", text=[text], tables=[_pretraining_table(runs)] if runs else [], figures=figures)


def _order(run: StoredRun) -> tuple[int, str, str, str, str]:
    return *order_of(run.dataset), run.protocol or "", run.init, run.variant or ""


def _pretraining_table(runs: Sequence[StoredRun]) -> Table:
    has_protocol = any(run.protocol for run in runs)
    rows: list[Sequence[Entry]] = []
    for run in runs:
        losses, summary = run.curve("val/loss"), run.summary or {}
        last = [value for _, stage, value in losses if value is not None and stage == losses[-1][1]]
        fills = [[v for *_, v in run.curve(name) if v is not None] for name in ("val/mean_fill", "val/inpaint")]
        protocol = [run.protocol or NOT_MEANT] if has_protocol else []
        place = (title_of(run.dataset), *protocol, run.name, str(run.seed))
        counts = (len({stage for _, stage, _ in losses}), summary.get("epochs", 0), summary.get("image_visits", 0))
        ends = (
            f"{min(last):.4f}" if last else NOT_MEANT,
            *(f"{fill[-1]:.4f}" if fill else NOT_MEANT for fill in fills),
        )
        rows.append([*place, *(f"{count:,}" for count in counts), *ends])
    names = ("dataset", *(["protocol"] if has_protocol else []), "masking")
    numbers = ("seed", "stages", "epochs", "image visits", "best loss, last stage", "mean fill", "inpaint")
    note = (
        "Loss on the validation part in the last stage, where downstream runs take their weights from, beside that of "
        "the two fillings. Losses of different maskings cannot be compared: hard masks mean a high loss."
    )
    columns = [*map(Column, names), *(Column(head, kind="number") for head in numbers)]
    return Table("pretraining", "Pretraining runs", note, columns, rows)


def picture_section(protocols: Sequence[Protocol], pretrained: Sequence[StoredRun]) -> Section:
    """Returns test images as every row predicts them, and reconstructions; each row shows its first seed."""
    pictures = [picture for protocol in protocols for picture in _test_pictures(protocol)]
    pictures += _pretraining_pictures(pretrained)
    return Section("Example pictures", pictures=[picture for picture in pictures if picture.path.is_file()])


def _test_pictures(protocol: Protocol) -> list[Picture]:
    """The first test images as the rows of every dataset predict them, sorted by image."""
    pictures = []
    for benchmark in protocol.benchmarks:
        cells = protocol.plain(benchmark)
        for number in range(TEST_IMAGES):
            for init in (init for init in protocol.inits([benchmark]) if init in cells):
                run = cells[init].first
                words = f"{init} (seed {run.seed}{f', {protocol.name} protocol' if protocol.name else ''})"
                path = (run.tested_in or run.folder) / f"overlay-{number}.png"
                pictures.append(Picture(path, f"{benchmark.title}, test image {number + 1}, {words}"))
    return pictures


def _pretraining_pictures(runs: Sequence[StoredRun]) -> list[Picture]:
    """Masks of the last stage of every pretraining, and reconstructions by its last weights."""
    first: dict[tuple[object, ...], StoredRun] = {}
    for run in sorted(runs, key=lambda run: (run.dataset, run.protocol or "", run.init, run.seed)):
        if not run.variant:
            first.setdefault((run.dataset, run.protocol, run.init), run)
    return [
        Picture(path, f"{title_of(run.dataset)}, {run.init}, seed {run.seed}: {_shown_in(path)}")
        for run in first.values()
        for path in (*sorted((run.folder / "images").glob("stage-*.png"))[-1:], run.folder / "images/final.png")
    ]


def _shown_in(picture: Path) -> str:
    """Returns what a picture of a pretraining shows; stages count from 0 in the names of files."""
    _, is_stage, number = picture.stem.partition("stage-")
    return f"masks of stage {int(number) + 1}" if is_stage else "reconstructions by the last weights"


def unused_section(tree: Tree) -> Section:
    """Returns the runs that are in no table: unfinished ones, and those that cannot be used, with the reason."""
    lists: dict[str, list[Line]] = {
        "Unfinished": [(f"{run.folder}: {run.progress}", []) for run in tree.unfinished],
        "Finished, but left out": [(f"{run.folder}: {reason}", []) for run, reason in tree.left_out],
    }
    return Section("Runs that are in no table", lists={name: runs for name, runs in lists.items() if runs})


def provenance_section(cells: Sequence[Cell], pretrained: Sequence[StoredRun]) -> Section:
    """Returns the runs of every cell, then those of pretraining, each with commit and commands."""
    lists: dict[str, list[Line]] = {}
    for cell in sorted(cells, key=lambda cell: _order(cell.first)):
        first = cell.first
        labels = f"{f'{first.protocol}; ' if first.protocol else ''}{first.labels:,} labelled images"
        lists[f"{title_of(first.dataset)}, {first.name} ({labels})"] = [_tested(run) for run in cell.runs]
    if pretrained:
        lists["Pretraining"] = [
            (_words(run), _commands(run)) for run in sorted(pretrained, key=lambda run: str(run.folder))
        ]
    text = (
        "Every run with its mIoU at the view, its commit and the commands of all its starts; `+` marks a commit "
        "with changes that were not committed."
    )
    return Section("Where every number comes from", text=[text], lists=lists)


def _tested(run: StoredRun) -> Line:
    miou, weights = run.metric(MIOU), run.weights
    figure = "no mIoU" if miou is None else f"mIoU {miou:.2f}"
    behind = ""
    if "experiment" in weights:
        visits = f"{'at most ' * bool(weights.get('visits_at_most'))}{weights.get('image_visits') or 0:,}"
        behind = (
            f"; weights of {weights['experiment']}, seed {weights['seed']}, {visits} image visits, "
            f"commit {weights.get('commit', 'unknown')}"
        )
    return f"{figure}: {_words(run)}{behind}", _commands(run)


def _words(run: StoredRun) -> str:
    commits = " then ".join(dict.fromkeys(start.get("commit", "unknown") for start in run.starts)) or "unknown"
    return f"{run.folder}, seed {run.seed}, commit {commits}{_library_weights(run.weights)}"


def _library_weights(weights: dict[str, Any]) -> str:
    """Names the library's weights behind a run and their licence; ImageNet's have no name in the record."""
    if weights["kind"] == "pretrained" and "name" in weights:
        return f", from {weights['name']} (licence: {weights.get('licence') or 'not stated'})"
    before = weights.get("inputs", {}).get("weights")
    return _library_weights(before) if before else ""


def _commands(run: StoredRun) -> list[str]:
    return list(dict.fromkeys(start.get("command", "unknown") for start in run.starts))
