"""`python -m benchmarks [PART ...]`: measures all figures but those of large maps, and writes the table.

If you name parts, their figures are only printed. `maps` takes half an hour, so it runs only if you name it.
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from smir.files.memory import keep_freed_memory

HERE = Path(__file__).parent
RESULTS, DOCUMENT = HERE / "results.json", HERE.parent / "docs" / "benchmarks.md"


def main(names: list[str]) -> None:
    """Measures and reports."""
    keep_freed_memory()  # as `python -m smir fit` does, for ours and for the baselines
    from benchmarks import busy, fit, loader, loss, maps, memory, neighbours, processes, report, scoring, start, storage
    from benchmarks.measure import Row

    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "scoring": lambda: scoring.rows("cpu"),
        "fit": lambda: fit.rows("cpu"),
        "loss": lambda: loss.rows("cpu"),
        "loader": loader.rows,
        "storage": storage.rows,
        "memory": memory.rows,
        "maps": maps.rows,
        "start": start.rows,
        "processes": processes.rows,
        "neighbours": neighbours.rows,
        "gpu-scoring": lambda: scoring.rows("cuda"),
        "gpu-fit": lambda: fit.rows("cuda"),
        "gpu-loss": lambda: loss.rows("cuda"),
        "gpu-busy": busy.rows,
    }
    unknown = set(names) - set(parts)
    if unknown:
        raise SystemExit(f"There is no part {', '.join(sorted(unknown))}; parts are {', '.join(parts)}.")
    begin, rows = time.perf_counter(), []
    for name in names or [part for part in parts if part != "maps"]:
        start_of_part = time.perf_counter()
        for row in parts[name]():
            rows.append(row)
            print(
                f"{row.figure} [{row.device}]: {row.value} {row.unit} {row.spread} {row.holds} {row.note}", flush=True
            )
        print(f"  {name} took {time.perf_counter() - start_of_part:.0f} s", flush=True)
    seconds, about = time.perf_counter() - begin, report.environment()
    table = report.markdown(rows, about, seconds)
    print(f"\n{table}")
    if not names:
        report.write_json(RESULTS, rows, about, seconds)
        report.insert(DOCUMENT, table)


if __name__ == "__main__":
    main(sys.argv[1:])
