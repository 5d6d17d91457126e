"""The runs of the Makefile: each once, in order, and stopped after a failure. `smir` itself is a stand-in here."""

import os
import re
import shlex
import subprocess
from collections import Counter

import pytest
from words import REPOSITORY

from smir.cli.paper import paper_runs

ROOT = REPOSITORY
DATASETS = ("pascal_voc", "cityscapes", "nassar", "sugar_beets")
STAND_IN = """
[ "$1" = job ] || exit 0
missing=
while [ $# -gt 0 ]; do
    case $1 in
        --run) run=$2 ;;
        --model.weights) [ -f "${2%/*/*}/DONE" ] || missing="$missing $2" ;;
    esac
    shift
done
echo "$run [$missing]" >> order.txt
if [ -f broken ] && [ "$run" = "$(cat broken)" ]; then exit 75; fi
mkdir -p "$run"
: > "$run/DONE"
"""


def make(*words, cwd=ROOT):
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE") and key != "MFLAGS"}
    return subprocess.run(["make", *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def sandbox(tmp_path):
    """A copy of the Makefile with a stand-in for smir."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    (tmp_path / ".venv").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / ".venv/installed").touch()
    (tmp_path / "smir.sh").write_text(STAND_IN)

    def run(*words):
        return make("SMIR=sh smir.sh", "SEEDS=0 1", *words, cwd=tmp_path)

    return run


def runs(output):
    return re.findall(r" job --run (\S+)", output)


def order(folder):
    return (folder / "order.txt").read_text().splitlines()


def test_the_plan_has_every_row_once():
    planned = runs(make("-n", "paper", "SEEDS=0 1 2", "RUNS=r").stdout)
    assert max(Counter(planned).values()) == 1
    for dataset in DATASETS:
        rows = sorted(path.stem for path in (ROOT / "experiments" / dataset).glob("*.yaml"))
        for row in set(rows) - {"pretrain", "segment"}:
            seeds = (0, 1, 2) if row.startswith("segment") else (3741,)
            assert {f"r/{dataset}/{row}/seed{seed}" for seed in seeds} <= set(planned)
    for ablation in (path.stem for path in (ROOT / "experiments/ablations").glob("*.yaml")):
        assert any(f"-{ablation}/" in run for run in planned), ablation


def test_make_has_the_commands_of_the_table():
    words = ("DATA=/d", "SEEDS=4", "PRETRAIN=paired", "PROTOCOL=clean", "RUNS=r", "FLAGS=--a 'b c'", "SEGMENT_FLAGS=-s")
    made = re.findall(r" job --run r/(\S+) --devices auto -- (.*)", make("-n", "paper", *words).stdout)
    runs = paper_runs(seeds="4", pretrain="paired", protocol="clean")
    flags = {run: f"{'-s' if run.row.segments else ''} --a 'b c'" for run in runs}
    assert {folder: shlex.split(command) for folder, command in made} == {
        run.folder: shlex.split(run.command("r", "/d", "clean", more)) for run, more in flags.items()
    }


def test_the_data_may_be_in_a_folder_with_spaces_or_below_the_home():
    for given, meant in (("/my  disk/it's ~/x", "/my  disk/it's ~/x"), ("~/data", f"{os.environ['HOME']}/data")):
        planned = make("-n", "plan", f"DATA={given}").stdout.replace("\\\n", "").splitlines()[-1]
        command = next(
            line
            for line in make("-n", "nassar", f"DATA={given}", f"IMAGENET={given}").stdout.splitlines()
            if "imagenet" in line
        )
        for line, option in ((planned, "--data"), (command, "--data.root"), (command, "--model.imagenet_file")):
            words = shlex.split(line)
            assert words[words.index(option) + 1] == meant


def test_the_plan_has_the_variables_of_make():
    printed = make("-n", "plan", "SEEDS=4 5", "PROTOCOL=clean", "ABLATE=", "FLAGS=--a 'b c'").stdout.replace("\\\n", "")
    assert shlex.split(printed.splitlines()[-1])[3:] == [
        *("plan", "--seeds=4 5", "--pretrain=paired", "--protocol=clean", "--ablate=", "--data", "data"),
        *("--runs", "runs/clean", "--flags=--a 'b c'", "--pretrain_flags=", "--segment_flags="),
    ]


def test_the_plan_says_that_there_are_no_data_before_it_installs(sandbox, tmp_path):
    (tmp_path / ".venv/installed").unlink()
    planned = sandbox("plan", "DATA=my  disk/it's", "PYTHON=no-such-python")
    assert planned.returncode != 0
    said = planned.stderr
    note = "There is no folder my  disk/it's: the plan takes the published counts. If the data have another place:"
    assert said.index(note) < said.index("make: no-such-python")
    (tmp_path / ".venv/installed").touch()
    assert sandbox("plan", f"DATA={tmp_path}").stderr == ""


def test_without_python_make_says_why_there_are_no_runs(sandbox):
    failed = sandbox("paper", "PYTHON=no-such-python")
    assert failed.returncode != 0
    assert "smir/cli/paper.py printed no runs" in failed.stderr
    assert sandbox("help", "PYTHON=no-such-python").returncode == 0


def test_pretrain_once_plans_one_pretraining_and_paired_one_for_each_seed():
    once, paired = (make("-n", "nassar", f"PRETRAIN={way}", "SEEDS=0 1", "RUNS=r").stdout for way in ("once", "paired"))
    assert {run for run in runs(once) if "segment" not in run and "nassar" in run} == {
        f"r/nassar/{row}/seed3741" for row in ("random", "selective", "random-staged", "random-fixed")
    }
    assert "r/nassar/selective/seed1" in runs(paired)
    assert "--model.weights r/nassar/selective/seed1/checkpoints/best.ckpt" in paired
    assert "3741" not in paired


def test_a_dataset_also_plans_the_pretraining_of_its_sister():
    for target, sister in (("pascal", "cityscapes"), ("sugarbeets", "nassar")):
        planned = runs(make("-n", target, "SEEDS=0", "RUNS=r", "ABLATE=").stdout)
        assert len(planned) == 4 + 7 + 1
        assert f"r/{sister}/selective/seed3741" in planned


@pytest.mark.parametrize("jobs", ["-j1", "-j4"])
def test_runs_wait_for_their_pretraining_and_are_not_repeated(sandbox, tmp_path, jobs):
    assert sandbox(jobs, "paper").returncode == 0
    first = order(tmp_path)
    assert all(line.endswith("[]") for line in first)
    assert len(first) == len(set(first)) == len(runs(sandbox("-n", "paper", "RUNS=other").stdout))
    assert sandbox(jobs, "paper").returncode == 0
    assert order(tmp_path) == first


def test_a_failed_run_stops_only_its_dependants_and_is_tried_again(sandbox, tmp_path):
    (tmp_path / "broken").write_text("runs/nassar/selective/seed3741")
    failed = sandbox("-k", "nassar")
    assert failed.returncode != 0
    assert "runs/nassar/selective/seed3741/DONE" in failed.stderr
    tried = [line.split()[0] for line in order(tmp_path)]
    assert "runs/nassar/segment-selective/seed0" not in tried
    assert "runs/nassar/segment-random/seed1" in tried
    (tmp_path / "broken").unlink()
    assert sandbox("nassar").returncode == 0
    again = [line.split()[0] for line in order(tmp_path)][len(tried) :]
    assert again[0] == "runs/nassar/selective/seed3741"
    assert set(again[1:]) == {f"runs/nassar/segment-selective/seed{seed}" for seed in (0, 1)}


@pytest.mark.parametrize("words", [("PRETRAIN=twice",), ("PROTOCOL=dirty",), ("ABLATE=voc",), ("SEEDS=one",)])
def test_a_wrong_variable_is_refused(words):
    failed = make("-n", "paper", *words)
    assert failed.returncode != 0
    assert words[0].split("=")[1] in failed.stderr


def test_the_clean_protocol_has_its_own_run_folders():
    planned = make("-n", "nassar", "PROTOCOL=clean", "SEEDS=0").stdout
    assert "--model.weights runs/clean/nassar/selective/seed0/checkpoints/best.ckpt" in planned  # PRETRAIN=paired
    assert all(run.startswith("runs/clean/") for run in runs(planned))
    assert planned.count("--data.protocol clean") == len(runs(planned))


def test_the_variable_wandb_reaches_every_run():
    planned = make("-n", "nassar", "SEEDS=0", "WANDB=offline").stdout
    assert planned.count("--run.wandb offline") == len(runs(planned))
    assert "--run.wandb" not in make("-n", "nassar", "SEEDS=0").stdout
