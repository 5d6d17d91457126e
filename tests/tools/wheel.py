"""Builds sdist and wheel, installs the wheel in a fresh environment, and runs the commands of README from there.

The wheel is built from the sdist, outside the checkout. The new environment takes all other packages from this one.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

import exports  # noqa: E402
from documents import lines, section, smir_words  # noqa: E402
from fakes import blocks, photo, save  # noqa: E402

WORK = ROOT / "build/wheel"
SIZE = (200, 264)
NETWORK = {"init_args": {"encoder": "tu-test_efficientnet", "decoder_channels": [16, 16, 16]}}
TINY = {
    "model": {"init_args": {"network": NETWORK, "warmup_epochs": 0}},
    "data": {"init_args": {"crop_size": 192, "num_workers": 0}},
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False},
}


def call(*words, cwd=WORK, **environment):
    """Runs a program that can only find an installed smir."""
    print("$", *words, flush=True)
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MAKE"))}
    return subprocess.run(list(map(str, words)), cwd=cwd, env=outside | environment, check=True)


def built():
    """Builds the wheel from the sdist, and returns its path."""
    backend = "import sys, setuptools.build_meta as backend; getattr(backend, sys.argv[1])(sys.argv[2])"
    call(sys.executable, "-c", backend, "build_sdist", WORK, cwd=ROOT)
    (sdist,) = WORK.glob("smir-*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(WORK / "source", filter="data")
    (source,) = (WORK / "source").iterdir()
    call(sys.executable, "-c", backend, "build_wheel", WORK, cwd=source)
    (wheel,) = WORK.glob("smir-*.whl")
    return wheel


def installed(wheel):
    """Returns the Python of an environment with the wheel, and with the packages of this environment after it."""
    call(sys.executable, "-m", "venv", "--without-pip", WORK / "env")
    python = WORK / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    call(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    (site,) = (WORK / "env").rglob("site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    return python


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    desk = WORK / "desk"
    desk.mkdir(parents=True)
    for number in range(10):
        save(desk / f"photos/{number}.jpg", photo(f"image {number}", SIZE))
    exports.labelme(desk / "annotations", {f"{n}": blocks(f"{n}", (0, 1, 2), SIZE) for n in range(4)})
    (desk / "tiny.yaml").write_text(json.dumps(TINY))
    python = installed(built())
    call(python, "-c", f"import smir; assert smir.__file__.startswith({str(WORK / 'env')!r}), smir", cwd=desk)
    call(python.with_name("smir"), "recipes", "folder", cwd=desk)
    ran = []
    for block in section(ROOT / "README.md", "Your own images"):
        for words in filter(None, map(smir_words, lines(block.text))):
            more = {"fit": ["--config=tiny.yaml"], "export": ["--formats=onnx"]}.get(words[0], [])
            if "folder/few-labels" in words:
                more = [*more, "--model.weights=null"]  # the tiny encoder has no ImageNet weights without the hub
            call(python, "-m", "smir", *words, *more, cwd=desk, CUDA_VISIBLE_DEVICES="")
            ran.append(words[0])
    assert ran == ["prepare", "fit", "predict", "fit", "fit", "choose", "inspect", "export"], ran
    assert any(desk.glob("runs/*/few-labels/seed0/predict/*.png"))
    print(f"The wheel works: {next(WORK.glob('*.whl'))}")


if __name__ == "__main__":
    main()
