"""Pretraining curves, stage by stage."""

from collections.abc import Sequence

from smir.report.cells import TITLES, title_of
from smir.report.curve_plots import stages
from smir.report.document import Figure, Section
from smir.report.main_section import protocol_words
from smir.report.stored import StoredRun
from smir.report.tables import Column, Entry, Table

CURVES = (
    "The curves show the loss on the validation part (thick) and on the training part (thin) over epochs; dotted is "
    "the loss of filling masked patches with the mean. A stage, numbered above, has images and masks of its own: "
    "losses compare within a stage alone."
)


def pretraining_section(runs: Sequence[StoredRun]) -> Section:
    """Returns one figure for every pretraining, its seeds in one, and a table of where each ended."""
    groups: dict[tuple[str, str, str, str, str], list[StoredRun]] = {}
    for run in sorted(runs, key=_place):
        groups.setdefault((*_place(run)[1:5], str(run.record["hash"])), []).append(run)
    figures = []
    for number, members in enumerate(groups.values()):
        first = members[0]
        seeds = ", ".join(str(run.seed) for run in members)
        title = f"{title_of(first.dataset)}, {_name(first)}"
        caption = f"{title} ({protocol_words(first.protocol)}); seed {seeds}."
        curves = [
            {name: run.curve(name) for name in ("val/loss", "train/loss", "val/mean_fill_loss")} for run in members
        ]
        figures.append(Figure(f"pretraining-{number}", caption, stages(curves, title)))
    return Section("Pretraining", text=[CURVES], tables=[_table(runs)] if runs else [], figures=figures)


def _place(run: StoredRun) -> tuple[int, str, str, str, str, int]:
    order = list(TITLES)
    place = order.index(run.dataset) if run.dataset in order else len(order)
    return place, run.dataset, run.protocol or "", run.init, run.variant or "", run.seed


def _name(run: StoredRun) -> str:
    return f"{run.init}, {run.variant}" if run.variant else run.init


def _table(runs: Sequence[StoredRun]) -> Table:
    rows: list[list[Entry]] = []
    for run in sorted(runs, key=_place):
        losses = run.curve("val/loss")
        last = [value for _, stage, value in losses if value is not None and stage == losses[-1][1]]
        fill = [value for _, _, value in run.curve("val/mean_fill_loss") if value is not None]
        rows.append(
            [
                title_of(run.dataset),
                run.protocol or "-",
                _name(run),
                str(run.seed),
                str(len({stage for _, stage, _ in losses})),
                f"{(run.summary or {}).get('epochs', 0):,}",
                f"{(run.summary or {}).get('image_visits', 0):,}",
                f"{min(last):.4f}" if last else None,
                f"{fill[-1]:.4f}" if fill else None,
            ]
        )
    names = ("dataset", "protocol", "masking")
    numbers = ("seed", "stages", "epochs", "image visits", "best loss, last stage", "loss of the mean fill")
    note = (
        "Loss on the validation part in the last stage, where downstream runs take their weights from, beside the "
        "loss of filling masked patches with the mean. "
        "Losses of different maskings do not compare: hard masks mean a high loss."
    )
    columns = [*map(Column, names), *(Column(head, kind="number") for head in numbers)]
    return Table("pretraining", "Pretraining runs", note, columns, rows)
