import os
import sys

import pytest
from warm import warm_python

from smir.__main__ import main
from smir.prepare.synthetic.dataset import write_dataset
from smir.prepare.tiling import tile_image


@pytest.fixture(autouse=True)
def as_if_from_the_shell(monkeypatch):
    """LightningCLI warns when it gets arguments while pytest's own stand in sys.argv."""
    monkeypatch.setattr(sys, "argv", ["smir"])
    monkeypatch.delenv("SMIR_RUN", raising=False)


@pytest.fixture(scope="session")
def field(tmp_path_factory):
    """A small synthetic field in Nassar's layout: 12 tiles to pretrain on; 10, 2 and 3 labelled ones."""
    root = tmp_path_factory.mktemp("field")
    write_dataset(root, seed=0, width=1024, height=768, train_tiles=10, val_tiles=2, test_tiles=3)
    tile_image(root / "nassar/orthomosaic/data/RGB_reference_png.png", root / "nassar/ortho_tiles")
    return root


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """An executable to use in the place of `sys.executable`; its processes need no time to load torch and Lightning."""
    folder = tmp_path_factory.getbasetemp()
    with warm_python(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) as path:
        yield path


@pytest.fixture
def smir(tmp_path, monkeypatch):
    """Runs `python -m smir ...` in this process, in an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        main([str(word) for word in words])

    return run


@pytest.fixture
def fails(smir, capsys):
    """Runs a command that must fail, and returns what it says; nothing may be left behind by it."""

    def run(*words, code=1):
        with pytest.raises(SystemExit) as exit_:
            smir(*words)
        assert exit_.value.code == code
        return capsys.readouterr().err

    return run
