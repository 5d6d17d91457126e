"""Writes the tables of docs/evidence.md from the figures of the study's runs."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.evidence.matrix import BUDGETS, EXPLORED, MAIN, RARE, ROWS, TRAINED, Row
from benchmarks.evidence.study import KEPT
from smir.files.atomic import write_atomically
from smir.report.estimates import Estimate, paired
from smir.report.plots import dots

BEGIN = "<!-- table: make evidence writes it -->\n"
AGAINST = ("scratch", "imagenet", "imagenet, random-staged")
"""Rows that every other row is compared with."""
METRIC = "test/native/miou"


def figures(runs: dict[str, Any], row: Row, kept: str, metric: str = METRIC) -> Estimate | None:
    """Returns a figure in percent of every seed that has finished; None if no seed has."""
    own = [run for run in runs.values() if (run["row"], run["labels"]) == (row.name, row.labels)]
    by_seed = {run["seed"]: 100 * run[kept][metric] for run in own if run[kept].get(metric) is not None}
    return Estimate(by_seed, len(own)) if by_seed else None


def tables(content: dict[str, Any]) -> str:
    """Returns all tables as Markdown."""
    runs = content["runs"]
    parts = [table(runs, MAIN, kept, f"The {kept} checkpoint, {MAIN[0].labels} labels") for kept in reversed(KEPT)]
    for labels in sorted({row.labels for row in BUDGETS}):
        rows = [row for row in BUDGETS if row.labels == labels]
        parts.append(table(runs, rows, "last", f"The last checkpoint, {labels} labels"))
    parts += [table(runs, EXPLORED, "last", "What keeps a pretraining from harming ImageNet weights, last checkpoint")]
    parts += [trained_table(runs), rare_table(runs), raw_table(runs)]
    facts = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in content["about"].items() if value)
    return "\n\n".join([*parts, f"Measured on: {facts}."]) + "\n"


def table(runs: dict[str, Any], rows: Sequence[Row], kept: str, title: str) -> str:
    """Returns rows, each with its difference from those of `AGAINST` over the seeds that both have."""
    head = ["start", "seeds", "mIoU", *_classes(runs), *(f"minus {name}" for name in AGAINST)]
    lines = []
    for row in rows:
        own = figures(runs, row, kept)
        if own is None:
            continue
        classes = [_mean(figures(runs, row, kept, f"test/native/iou/{name}")) for name in _classes(runs)]
        lines.append([row.name, str(own.seeds), _spread(own), *classes, *_against(runs, row, own, kept)])
    return _titled(title, head, lines, runs, rows)


def _against(runs: dict[str, Any], row: Row, own: Estimate, kept: str) -> list[str]:
    cells = []
    for name in AGAINST:
        other = next(there for there in ROWS if (there.name, there.labels) == (name, row.labels))
        cells.append(_gain(own, figures(runs, other, kept)) if name != row.name else "")
    return cells


def _gain(own: Estimate | None, other: Estimate | None) -> str:
    gain = paired(own, other)
    if not gain or not gain.by_seed:
        return ""
    reach = f" [{gain.interval[0]:+.1f}, {gain.interval[1]:+.1f}]" if gain.interval else ""
    return f"{gain.mean:+.1f}{reach}"


def trained_table(runs: dict[str, Any]) -> str:
    """Returns the ways to train on few labels: the validation figures that choose among them, and what each gains."""
    lines = []
    rows = (*MAIN[:2], *TRAINED)
    for row in rows:
        best, last = (figures(runs, row, kept) for kept in KEPT)
        if last is None:
            continue
        plain = next(other for other in MAIN if other.start == row.start)
        gain = _gain(last, figures(runs, plain, "last")) if row != plain else ""
        validated = [_mean(_validation(runs, row, kept)) for kept in KEPT]
        lines.append([row.name, str(last.seeds), *validated, _spread(best), _spread(last), gain])
    head = ["training", "seeds", *(f"{images}, {kept}" for images in ("validation", "test") for kept in KEPT)]
    title = f"Trained otherwise: mIoU on validation and test images, {MAIN[0].labels} labels"
    return _titled(title, [*head, "test, last, minus its start"], lines, runs, rows)


def rare_table(runs: dict[str, Any]) -> str:
    """Returns what may help rare classes: mIoU and the IoU of every class, each with what is gained by it."""
    plain = MAIN[1]
    columns = {"mIoU": METRIC} | {name: f"test/native/iou/{name}" for name in _classes(runs)}
    lines = []
    for row in (plain, *RARE):
        seeds = figures(runs, row, "last")
        if seeds is None:
            continue
        line = [row.name, str(seeds.seeds)]
        for metric in columns.values():
            own = figures(runs, row, "last", metric)
            gain = _gain(own, figures(runs, plain, "last", metric)) if row != plain else ""
            line.append(_spread(own) + (f"; {gain}" if gain else ""))
        lines.append(line)
    title = f"Rare classes: IoU of the last checkpoint; what is gained over {plain.name}, {plain.labels} labels"
    return _titled(title, ["training", "seeds", *columns], lines, runs, (plain, *RARE))


def _titled(
    title: str, head: Sequence[str], lines: Sequence[Sequence[str]], runs: dict[str, Any], rows: Sequence[Row]
) -> str:
    """Returns a table below its title, and the rows that have no run yet in a sentence."""
    missing = [row.name for row in rows if figures(runs, row, "last") is None]
    parts = [f"**{title}**"] + ([_markdown(head, lines)] if lines else [])
    parts += [f"Not run yet: {'; '.join(missing)}."] if missing else []
    return "\n\n".join(parts)


def _validation(runs: dict[str, Any], row: Row, kept: str) -> Estimate | None:
    """Returns validation figures in percent; None if they are of images that were trained on."""
    own = [run for run in runs.values() if (run["row"], run["labels"]) == (row.name, row.labels) and row.hold_out]
    by_seed = {run["seed"]: 100 * run["val"][kept] for run in own if "val" in run}
    return Estimate(by_seed, len(own)) if by_seed else None


def raw_table(runs: dict[str, Any]) -> str:
    """Returns the two figures of every run, by seed."""
    seeds = sorted({run["seed"] for run in runs.values()})
    lines = []
    for row in ROWS:
        both = [figures(runs, row, kept) for kept in KEPT]
        cells = [
            " / ".join(f"{one.by_seed[seed]:.1f}" if one and seed in one.by_seed else "" for one in both).strip(" /")
            for seed in seeds
        ]
        if any(cells):
            lines.append([row.name, str(row.labels), *cells])
    head = ["start", "labels", *(f"seed {seed}" for seed in seeds)]
    return "**Every run: mIoU of the best / last checkpoint**\n\n" + _markdown(head, lines)


def _classes(runs: dict[str, Any]) -> list[str]:
    metrics = next(iter(runs.values()))["last"]
    return [name.removeprefix("test/native/iou/") for name in metrics if name.startswith("test/native/iou/")]


def _spread(own: Estimate | None) -> str:
    if own is None:
        return "not run"
    return f"{own.mean:.1f}" + (f" ± {own.deviation:.1f}" if own.deviation is not None else "")


def _mean(own: Estimate | None) -> str:
    return "" if own is None else f"{own.mean:.1f}"


def _markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---", *["--:"] * (len(head) - 1)], *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def write(content: dict[str, Any], document: Path) -> None:
    """Writes the tables into their place in the document, and the plot beside it."""
    report.insert(document, tables(content), BEGIN)
    # Longer names would be cut.
    short = {row.name: row.name.replace("imagenet, ", "+ ").replace(" of the weights", "") for row in MAIN}
    rows = {short[row.name]: own for row in MAIN if (own := figures(content["runs"], row, "last")) is not None}
    plot = dots(rows, "mIoU of the last checkpoint (+: after imagenet)")
    write_atomically(document.with_suffix(".svg"), plot)
