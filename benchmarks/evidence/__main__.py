"""`python -m benchmarks.evidence`: makes the study's runs, and writes the tables of docs/evidence.md.

It continues where it stopped. The figures of a finished run are kept in the results file at once.
"""

import argparse
import dataclasses
from pathlib import Path

from benchmarks import report
from benchmarks.evidence import page
from benchmarks.evidence.matrix import ROWS
from benchmarks.evidence.study import Study, make
from smir.files.json_record import dict_or_empty

HERE = Path(__file__).parents[1]


def main() -> None:
    """Reads the options, makes the runs, writes the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--field", type=Path, required=True, help="folder of `smir prepare folder`: pool and labels")
    parser.add_argument(
        "--held",
        type=Path,
        required=True,
        help="the same with --shares '[0, 0, 1]', of the images that are only tested on",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/evidence"), help="folder of runs, lists and logs")
    parser.add_argument("--results", type=Path, default=HERE / "evidence.json", help="JSON file of all figures")
    parser.add_argument("--document", type=Path, help="Markdown page whose tables are written")
    parser.add_argument("--imagenet_file", type=Path, help="the encoder's ImageNet weights; default: downloaded")
    parser.add_argument("--processes", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--rows", nargs="*", help="only rows with these names")
    parser.add_argument("--labels", type=int, nargs="*", help="only rows with these numbers of labelled images")
    parser.add_argument("--seeds", type=int, help="at most this many seeds")
    parser.add_argument("words", nargs="*", help="after --: further options of every training")
    options = parser.parse_args()
    study = Study(options.field, options.held, options.out, options.results, options.imagenet_file, options.words)
    study.check_held()
    chosen = [
        row
        for row in ROWS
        if row.name in (options.rows or [row.name]) and row.labels in (options.labels or [row.labels])
    ]
    rows = [dataclasses.replace(row, seeds=min(row.seeds, options.seeds or row.seeds)) for row in chosen]
    if failed := make(study.jobs(rows), options.out / "logs", options.processes):
        raise SystemExit(f"{len(failed)} jobs failed: {', '.join(failed)}")
    content = dict_or_empty(options.results)
    if content.get("runs") and options.document:
        page.write({"about": report.environment(), **content}, options.document)


if __name__ == "__main__":
    main()
