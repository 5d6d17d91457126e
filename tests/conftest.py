import gc
import os
import sys
from importlib import import_module
from types import SimpleNamespace

import jpegs
import pytest
import warm
from surroundings import strew, surround

from smir.__main__ import main
from smir.data.reading import jpeg_damage
from smir.prepare.synthetic.dataset import write_dataset
from smir.prepare.tiling import tile_image

SLOW_FIRST = (
    "test_experiments",
    "test_robustness",
    "test_your_data",
    "test_predict",
    "test_docs",
    "test_bad_input",
    "test_export",
    "test_site",
    "test_resume",
    "test_wandb",
)
"""The files that take longest, by their CPU time. They begin first, so that all workers end together."""


def pytest_addoption(parser):
    parser.addoption(
        "--surrounded", action="store_true", help="put variables and files of other tools around every command"
    )


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist, too
def pytest_xdist_auto_num_workers():
    """Starts one worker more than there are cores, because tests wait a fifth of the time for other processes."""
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items):
    """Puts the slow files first. `--dist loadfile` sends a whole file to one worker, so its fixtures are built once."""
    order = {name: place for place, name in enumerate(SLOW_FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


def pytest_collection_finish():
    """Freezes the loaded modules, so that the garbage collector does not look through them again and again."""
    import_module("smir.cli.command_line")  # Lightning logs to the current stderr, which a test replaces
    gc.collect()
    gc.freeze()
    gc.set_threshold(5000, 10, 10)  # with the default of 700, the collector takes 3 to 4 % of the time


def pytest_sessionfinish():
    warm.wait()


@pytest.fixture(autouse=True)
def as_if_from_the_shell(monkeypatch):
    """Empties sys.argv, because LightningCLI warns if it gets arguments while pytest's are there."""
    monkeypatch.setattr(sys, "argv", ["smir"])
    monkeypatch.delenv("SMIR_RUN", raising=False)


@pytest.fixture(scope="session", autouse=True)
def jpegs_are_checked_here():
    """Looks for damaged JPEGs in this process; a new one would take as long as the rest of `prepare folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jpeg_damage, "subprocess", SimpleNamespace(run=jpegs.run_here))
        yield


@pytest.fixture(scope="session", autouse=True)
def nothing_waits_for_the_disk():
    """Turns fsync off: a run syncs some 40 files, which takes as long as a small training; no test needs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def field(tmp_path_factory):
    """A small synthetic field in Nassar's layout: 12 tiles to pretrain on; 10, 2 and 3 labelled ones."""
    root = tmp_path_factory.mktemp("field")
    write_dataset(root, seed=0, width=1024, height=768, train_tiles=10, val_tiles=2, test_tiles=3)
    tile_image(root / "nassar/orthomosaic/data/RGB_reference_png.png", root / "nassar/ortho_tiles")
    return root


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """An executable to use in place of `sys.executable`; its processes need no time to load torch and Lightning."""
    folder = tmp_path_factory.getbasetemp()
    with warm.warm_python(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) as path:
        yield path


@pytest.fixture
def smir(request, tmp_path, monkeypatch):
    """Runs `python -m smir ...` in this process, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    surrounded = request.config.getoption("surrounded")
    if surrounded:
        strew(tmp_path)

    def run(*words):
        with monkeypatch.context() as patch:
            if surrounded:
                surround(patch)
            main([str(word) for word in words])

    return run


@pytest.fixture
def fails(smir, capsys):
    """Runs a command that must fail, and returns its message; the command must leave no files behind."""

    def run(*words, code=1):
        with pytest.raises(SystemExit) as exit_:
            smir(*words)
        assert exit_.value.code == code
        return capsys.readouterr().err

    return run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Escapes file names that are not UTF-8 in the output of a test, because pytest-xdist cannot send them."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report
