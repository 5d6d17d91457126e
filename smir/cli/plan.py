"""`python -m smir plan`: what a list of trainings will cost."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from smir.errors import ConfigError
from smir.terminal import columns

if TYPE_CHECKING:
    from smir.cli.planning import Speed, Work


def plan() -> None:
    """Says how many runs, image visits and hours a list of jobs takes.

    Reads lines with `smir job ... -- fit ...` from standard input, as in `make --dry-run paper | python -m smir plan`,
    and measures the network on this machine for some seconds. Images are counted where the data are on disk, else the
    published counts are taken.

    Raises:
        SmirError: If standard input is a terminal, or a line cannot be parsed.
    """
    if sys.stdin.isatty():
        raise ConfigError("The plan reads jobs from standard input: make --dry-run paper | python -m smir plan")
    from smir.cli.planning import jobs, measure, parsed, works

    commands = jobs(sys.stdin)
    if not commands:
        print("Nothing is left to do.")
        return
    configs = list(parsed(commands))
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
