"""One line per row of a report, for a terminal: the mean IoU, and that of each class, the lowest first."""

from smir.errors import counted, first_few
from smir.report.cells import Benchmark, Protocol
from smir.report.class_section import class_metric, sorted_classes
from smir.report.document import shown
from smir.report.estimates import one_seed
from smir.report.main_section import comparison_warnings, test_words


def brief(protocol: Protocol) -> list[str]:
    """Returns, for every dataset, its name, a line per row, and how far the figures can be trusted.

    Figures are IoU in percent at the network's view; those of several seeds are their mean and standard deviation. The
    last lines are warnings, and a line about runs that are not shown.
    """
    lines = [
        line for benchmark in protocol.benchmarks if protocol.plain(benchmark) for line in _lines(protocol, benchmark)
    ]
    notes = [*(f"Warning: {text}" for text in comparison_warnings(protocol)), *not_shown(protocol)]
    return [*lines, *(line for note in notes for line in (note, ""))]


def not_shown(protocol: Protocol) -> list[str]:
    """Returns a line about runs of variants, which only the report's own tables show."""
    cells = [cell for dataset in protocol.datasets for cell in protocol.variants(dataset)]
    if not cells:
        return []
    names = sorted({f"{cell.first.init}-{cell.first.variant}" for cell in cells})
    count = counted(sum(len(cell.runs) for cell in cells), "run of a variant is", "runs of variants are")
    return [f"{count} not shown here ({first_few(names)}), but in the tables of the report."]


def _lines(protocol: Protocol, benchmark: Benchmark) -> list[str]:
    inits = [init for init in protocol.inits([benchmark]) if init in protocol.plain(benchmark)]
    classes = sorted_classes(protocol, benchmark)
    width = max(map(len, inits))
    means = [protocol.figure(benchmark, init) for init in inits]
    rows = []
    for init, mean in zip(inits, means, strict=True):
        parts = [f"{name} {shown(protocol.figure(benchmark, init, class_metric(name))).figure}" for name in classes]
        rows.append(f"{init.ljust(width)}  mIoU {shown(mean).figure}  ({', '.join(parts)})")
    note = f"IoU in percent.{test_words(protocol, [benchmark])}{one_seed({benchmark.title: means})}"
    return [f"{benchmark.title}{protocol.in_brackets}:", *rows, note, ""]
