"""The sweep files, through the real `wandb agent` and a stand-in for W&B's server."""

import itertools
import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from fakes import write_nassar
from wandb_programs import WANDB, no_wandb_from_outside, program, segments, upload  # noqa: F401  # a fixture
from wandb_server import WandbServer
from words import EXPERIMENTS, TINY_NETWORK, segment_words

from smir.cli.planning import parsed

VARIABLES = [
    {"INIT": "selective", "MASKING": "selective", "EPOCHS": "200"},
    {"INIT": "scratch", "MASKING": "random", "EPOCHS": "20"},
]
"""Settings that a user gives an agent, so that every start and masking is tuned alike."""
SWEEPS = sorted((EXPERIMENTS / "sweeps").glob("*.yaml"))


def sweep(path):
    return yaml.safe_load(path.read_text())


def values(parameter):
    """Returns values of a parameter: all of a list, or the ends of a range."""
    return parameter.get("values") or [parameter["min"], parameter["max"]]


def words(content, chosen, *more, variables=VARIABLES[0]):
    """Returns the words after `smir` in the command that an agent would start."""
    command = [re.sub(r"\$\{envvar:(\w+)\}", lambda found: variables[found[1]], word) for word in content["command"]]
    rest = command[command.index("smir") + 1 :]
    flags = [f"--{name}={value}" for name, value in chosen.items()]
    return [flag for word in rest for flag in ([*more, *flags] if word == "${args}" else [word])]


@pytest.mark.parametrize("variables", VARIABLES, ids=["selective", "random"])
@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_value_of_a_sweep_reaches_the_settings_of_the_training(path, variables, monkeypatch):
    monkeypatch.chdir(EXPERIMENTS.parent)
    content = sweep(path)
    names = list(content["parameters"])
    chosen = [
        dict(zip(names, ends, strict=True))
        for ends in zip(
            *((values(content["parameters"][name])[0], values(content["parameters"][name])[-1]) for name in names),
            strict=True,
        )
    ]
    for config, given in zip(
        parsed(words(content, values, variables=variables) for values in chosen), chosen, strict=True
    ):
        for name, value in given.items():
            section, _, key = name.partition(".")
            found = config[section].init_args[key] if section in ("model", "data") else config[name]
            assert found == value
        best = {"pretrain": ("val/loss", "minimize"), "segment": ("val/miou", "maximize")}[config.data.init_args.task]
        assert (content["metric"]["name"], content["metric"]["goal"]) == best
        assert content["method"] == path.stem.split("-")[1]
        assert ("early_terminate" in content) == (content["method"] == "bayes")


def test_an_agent_runs_two_parameter_sets(python, tmp_path):
    write_nassar(tmp_path / "data", tiles=20, size=(192, 192))
    (tmp_path / "experiments").symlink_to(EXPERIMENTS)
    content = sweep(EXPERIMENTS / "sweeps/pretrain-grid.yaml")
    smoke = [f"--config=experiments/smoke/{name}.yaml" for name in ("pretrain", "all")]
    content["command"][-1:] = [*smoke, *TINY_NETWORK, "--trainer.accelerator=cpu", "${args}"]
    parameters = content["parameters"]
    grid = itertools.product(*(parameters[name]["values"] for name in parameters))
    chosen = [dict(zip(parameters, combination, strict=True)) for combination in itertools.islice(grid, 2)]
    # Both at once: this saves the waits of the agent between them, and tests the run folders harder.
    commands = [
        {"type": "run", "run_id": f"run{n}", "program": "", "args": {k: {"value": v} for k, v in given.items()}}
        for n, given in enumerate(chosen)
    ]
    with WandbServer(sweep=content, commands=[commands]) as server:
        environment = program(server, WANDB_MODE="offline", PATH=f"{Path(python).parent}:{os.environ['PATH']}")
        environment |= VARIABLES[0]
        agent = subprocess.Popen(
            [WANDB, "agent", "me/smir/sweep"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            said, _ = agent.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            agent.terminate()
            pytest.fail(f"The agent did not come to an end: {agent.communicate()[0][-5000:]}")
    assert agent.returncode == 0, said[-5000:]
    assert "Received exit command" in said
    runs = sorted(path.parent for path in tmp_path.glob("runs/**/DONE"))
    assert len(runs) == 2, said[-5000:]
    for run, given in zip(runs, chosen, strict=True):
        config = yaml.safe_load((run / "config.yaml").read_text())
        logged = upload(tmp_path, run)
        for recorded in (config, logged.config):
            for name, value in given.items():
                section, _, key = name.partition(".")
                assert recorded[section]["init_args"][key] == value
        assert len(segments(run)) == 1
        assert json.loads((run / "wandb.json").read_text())["id"] in str(run)


def test_a_run_that_the_sweep_stops_early_ends_without_an_error(python, field, tmp_path):
    """An agent stops a run with SIGTERM, and gives up after a few failed runs."""
    words = segment_words(field, "--trainer.max_epochs=500", "--run.experiment=s")
    environment = program(None, WANDB_SWEEP_ID="sweep", WANDB_RUN_ID="run0", WANDB_MODE="offline")
    with (tmp_path / "said.txt").open("w") as output:
        started = subprocess.Popen(
            [python, "-m", "smir", *words], cwd=tmp_path, env=environment, stdout=output, stderr=output
        )
        run = tmp_path / "runs/s/sweep-sweep/run0/seed0"
        while not (run / "checkpoints/last.ckpt").exists() and started.poll() is None:
            time.sleep(0.1)
        started.terminate()
        assert started.wait(timeout=300) == 0, (tmp_path / "said.txt").read_text()[-5000:]
    assert not (run / "DONE").exists()
    logged = upload(tmp_path, run)
    assert logged.exit_codes == [0]
    assert logged.summary["val/miou"] == max(logged.values("val/miou"))
