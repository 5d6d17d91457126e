"""`python -m smir plan`: what the runs of the paper will cost."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from smir.cli.paper import ABLATED, SEEDS, paper_runs
from smir.runs.finished import DONE
from smir.terminal import columns, progress

if TYPE_CHECKING:
    from smir.cli.planning import Speed, Work


def plan(
    data: Path = Path("data"),
    seeds: str = SEEDS,
    pretrain: Literal["once", "paired"] | None = None,
    protocol: Literal["paper", "clean"] = "paper",
    ablate: str = ABLATED,
    runs: Path | None = None,
    flags: str = "",
    pretrain_flags: str = "",
    segment_flags: str = "",
) -> None:
    """Says how many runs, image visits and hours the paper still needs, as `make plan` does.

    Counts the runs of `make paper` that are not done, and measures the network on this machine, which takes a minute or
    two. Images are counted where the data are on disk, else the published counts are taken.

    Args:
        data: Data root.
        seeds: Downstream seeds, such as "0 1 2".
        pretrain: `once`: one pretraining for all downstream seeds, as in the paper; `paired`: one for each of them.
            Default: `once` for the protocol `paper`, `paired` for `clean`.
        protocol: `paper`, or `clean` without the overlaps of pool, training and test.
        ablate: Datasets that the ablations are made on, such as "nassar sugar_beets"; "" leaves the ablations out.
        runs: Folder of the runs; default: `runs`, and `runs/clean` for the clean protocol.
        flags: Further options of every training.
        pretrain_flags: Further options of the pretrainings only.
        segment_flags: Further options of the segmentations only.

    Raises:
        SmirError: If a dataset is unknown, or the settings of a run are wrong.
    """
    root = runs or Path("runs/clean" if protocol == "clean" else "runs")
    places = {"runs": shlex.quote(str(root)), "data": shlex.quote(str(data)), "protocol": protocol}
    commands = [
        run.command(**places, flags=f"{segment_flags if run.row.segments else pretrain_flags} {flags}")
        for run in paper_runs(seeds, pretrain or "", protocol, ablate)
        if not (root / run.folder / DONE).is_file()
    ]
    if not commands:
        print("Nothing is left to do.")
        return
    from smir.cli.planning import measure, parsed, works

    configs = list(progress(parsed(map(shlex.split, commands)), "Reading recipes", len(commands), unit="run"))
    print(f"{len(configs)} runs; measuring the network on this machine ...", file=sys.stderr, flush=True)
    print("\n".join(report(list(works(configs)), measure(configs[0]))))


def report(works: "list[Work]", speed: "Speed") -> "Iterator[str]":
    """Yields the lines of the plan: one for each dataset and task, and the sum."""
    groups: dict[tuple[str, str], list[Work]] = {}
    for work in works:
        groups.setdefault((work.experiment.split("/")[0], work.task), []).append(work)
    rows = [["", "runs", "image visits", "hours", ""]]
    for (dataset, task), members in groups.items():
        rows.append([f"{dataset}, {task}", *_figures(members, speed), "" if members[0].on_disk else "published counts"])
    rows.append(["all", *_figures(works, speed), ""])
    yield from columns(rows)
    yield ""
    yield (
        f"Hours on one device of this machine: {speed.train:,.1f} images/s in training and {speed.forward:,.1f} in "
        "validation and scoring, if loading keeps up. Several devices share them."
    )


def _figures(works: "list[Work]", speed: "Speed") -> list[str]:
    hours = sum(map(speed.hours, works))
    visits = sum(work.train_visits for work in works)
    return [f"{len(works)}", f"{visits:,}", f"{hours:,.2f}" if hours < 10 else f"{hours:,.0f}"]


COMMANDS = plan
