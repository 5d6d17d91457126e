"""Windows and macOS, as far as this system can imitate them."""

import json
import subprocess
import sys

import exports
from fakes import blocks, photo, save
from words import QUIET, REPOSITORY, SUPPORT, TINY_NETWORK

from smir.__main__ import COMMANDS

SMALL = [*TINY_NETWORK, *QUIET, "--data.crop_size=64", "--data.num_workers=0", "--model.warmup_epochs=0"]
PRETRAINED, SEGMENTED = "runs/field/selective/seed0", "runs/field/segment/seed0"


def test_every_command_runs_without_fcntl_signals_and_float64(python, tmp_path):
    for number in range(6):
        save(tmp_path / f"photos/{number}.jpg", photo(f"{number}", (64, 72)))
    exports.labelme(tmp_path / "labels", {f"{n}": blocks(f"{n}", (0, 1), (64, 72)) for n in range(3)})
    data = "--config=field/data.yaml"
    fit = ["fit", "--config=folder/segment", data, *SMALL, "--trainer.max_epochs=1"]
    trained = [f"--config={SEGMENTED}/config.yaml", "--ckpt_path=best", *QUIET]
    ckpt = f"--ckpt={SEGMENTED}/checkpoints/best.ckpt"
    lines = [
        ["recipes", "folder"],
        ["prepare", "folder", "--images=photos", "--labels=labels"],
        ["check", data],
        ["stats", data],
        [
            "fit",
            "--config=folder/pretrain",
            data,
            *SMALL,
            "--data.crop_size=192",
            "--data.batch_size=2",
            "--trainer.max_epochs=2",
        ],
        [*fit, f"--model.weights={PRETRAINED}/checkpoints/best.ckpt"],
        ["validate", *trained],
        ["test", *trained],
        ["predict", *trained, "--data.predict_images=photos"],
        ["choose", ckpt, "photos", "--count=2", "--copy", "--device=cpu"],
        ["inspect", ckpt, "photos", "--device=cpu"],
        ["export", ckpt, "--formats=weights"],
        ["job", "--run", SEGMENTED, "--", *fit, f"--model.weights={PRETRAINED}/checkpoints/best.ckpt"],
        ["plan", "--seeds=", "--pretrain=paired", "--ablate="],
        ["report", "runs"],
    ]
    assert {words[0] for words in lines} == set(COMMANDS)
    environment = {"PYTHONPATH": f"{REPOSITORY}:{SUPPORT}", "PATH": "", "HOME": str(tmp_path), "USERNAME": "user"}
    environment["SMIR_TEST_PYTHON"] = python
    ran = subprocess.run(
        [sys.executable, SUPPORT / "without_posix.py"],
        input="".join(f"{json.dumps(words)}\n" for words in lines),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert (tmp_path / "report/index.html").is_file()
