"""Example pictures: the same test images by every row, and what pretraining reconstructs."""

from collections.abc import Sequence

from smir.report.cells import Results, title_of
from smir.report.document import Picture, Section
from smir.report.stored import StoredRun

TEST_IMAGES = 2
"""Test images that are shown of every row; a run keeps more."""


def test_pictures(results: Results, protocol: str | None) -> list[Picture]:
    """The first test images by the rows of every dataset, those of one image together."""
    pictures = []
    for benchmark in results.benchmarks(protocol):
        cells = results.plain(benchmark)
        for number in range(TEST_IMAGES):
            for init in results.inits([benchmark]):
                if init not in cells:
                    continue
                run = cells[init].first
                path = (run.tested_in or run.folder) / f"overlay-{number}.png"
                if path.is_file():
                    words = (
                        f"{benchmark.title}, test image {number}, {init} (seed {run.seed}, {protocol or 'no'} protocol)"
                    )
                    pictures.append(Picture(path, words))
    return pictures


def pretraining_pictures(runs: Sequence[StoredRun]) -> list[Picture]:
    """What the last stage of every pretraining hides, and how its last weights reconstruct."""
    pictures = []
    shown = set()
    for run in sorted(runs, key=lambda run: (run.dataset, run.protocol or "", run.init, run.seed)):
        place = (run.dataset, run.protocol, run.init)
        if place in shown or run.variant:
            continue
        shown.add(place)
        images = run.folder / "images"
        for path in [*sorted(images.glob("stage-*.png"))[-1:], images / "final.png"]:
            if path.is_file():
                words = f"{title_of(run.dataset)}, {run.init}, seed {run.seed}: {path.stem}"
                pictures.append(Picture(path, words))
    return pictures


def picture_section(results: Results, pretrained: Sequence[StoredRun]) -> Section:
    """Returns the example pictures; the first seed of a row stands for it."""
    tests = [picture for protocol in results.protocols for picture in test_pictures(results, protocol)]
    return Section("Example pictures", pictures=[*tests, *pretraining_pictures(pretrained)])
