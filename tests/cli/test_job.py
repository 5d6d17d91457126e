"""`smir job` and the launch scripts."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from words import EXPERIMENTS, REPOSITORY, SUPPORT, segment_words

from smir.cli.job import claim, visible_devices
from smir.errors import ConfigError


@pytest.fixture
def warm(python, monkeypatch):
    """Lets jobs start the stand-in for Python."""
    monkeypatch.setattr(sys, "executable", python)


def test_a_job_logs_the_output_and_updates_the_done_file(smir, warm, field, tmp_path, capfd):
    words = segment_words(field, "--run.experiment=x", "--run.root=runs")
    smir("job", "--run=runs/x/seed0", "--", *words)
    assert "done after" in capfd.readouterr().out
    log = (tmp_path / "runs/x/seed0/log.txt").read_text()
    assert "python -m smir fit --config=" in log
    assert "Done: runs/x/seed0" in log
    done = tmp_path / "runs/x/seed0/DONE"
    os.utime(done, (0, 0))
    smir("job", "--run=runs/x/seed0", "--", *words)
    assert "has finished before" in (tmp_path / "runs/x/seed0/log.txt").read_text()
    assert done.stat().st_mtime > 0  # otherwise make would repeat it for ever


def test_a_failed_job_names_its_log_and_shows_its_end(fails, warm, field, tmp_path):
    said = fails("job", "--run=runs/x/seed0", "--", *segment_words(field, "--model.lr=fast"), code=2)
    assert f"runs/x/seed0 failed with exit code 2. The end of its log, {tmp_path / 'runs/x/seed0/log.txt'}:" in said
    assert "model.lr" in said or '"lr"' in said
    assert "There is nothing to run" in fails("job", "--run=x", "--words=[]")


def test_a_job_fails_if_its_run_is_not_done(fails, warm, field):
    said = fails("job", "--run=runs/other/seed0", "--", "--version")
    assert "runs/other/seed0 ended before the run was done" in said


def test_devices_end_at_minus_one(monkeypatch):
    for value, names in {"-1": [], "1,-1,0": ["1"], "": []}.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert visible_devices() == names


def test_jobs_divide_the_devices_and_wait_for_a_free_one(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0, 1,GPU-ab")
    devices = visible_devices()
    assert devices == ["0", "1", "GPU-ab"]
    waited: list[str] = []
    first = claim(devices, 1, tmp_path, on_wait=lambda: waited.append("first"))
    assert first.__enter__() == ["0"]
    # Locks belong to a process, so the other job is a separate process.
    code = (
        "import sys; from pathlib import Path; from smir.cli.job import claim\n"
        "with claim(['0', '1', 'GPU-ab'], 2, Path(sys.argv[1]), print) as names:\n"
        "    print(names, flush=True); sys.stdin.read()"
    )
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path], env=env, text=True, **pipes)
    assert other.stdout.readline() == "['1', 'GPU-ab']\n"
    later = threading.Timer(0.5, lambda: other.stdin.close())
    later.start()
    with claim(["1"], 1, tmp_path, on_wait=lambda: waited.append("second")) as names:
        assert names == ["1"]
    first.__exit__(None, None, None)
    assert waited == ["second"]
    assert other.wait(300) == 0
    other.stdout.close()


def test_a_job_that_needs_more_devices_than_exist_is_refused(tmp_path):
    with (
        pytest.raises(ConfigError, match="needs 3 devices; this machine has 1: 0"),
        claim(["0"], 3, tmp_path, print),
    ):
        pass


def test_a_gpu_job_gets_its_device(tmp_path, monkeypatch):
    import smir.cli.job as job

    seen, threads = {}, []

    def run(words, log, environment, echo):
        (tmp_path / "DONE").touch()
        seen.update(words=list(words), visible=environment["CUDA_VISIBLE_DEVICES"])
        threads.append(environment.get("OMP_NUM_THREADS"))
        return 0

    monkeypatch.setattr(job, "_run", run)
    monkeypatch.setattr(job, "lock_folder", lambda: tmp_path / "locks")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    monkeypatch.setenv("MAKEFLAGS", " -j2 --jobserver-auth=3,4")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    job.job(tmp_path, ["fit"])
    assert seen == {"words": ["fit", "--trainer.devices", "1"], "visible": "4"}
    assert threads == [str(max(1, os.cpu_count() // 2))]  # the cores are divided as well
    monkeypatch.setenv("MAKEFLAGS", "")
    job.job(tmp_path, ["fit"])
    assert seen == {"words": ["fit", "--trainer.devices", "3"], "visible": "4,5,6"}
    job.job(tmp_path, ["fit"], devices=2)
    assert seen == {"words": ["fit", "--trainer.devices", "2"], "visible": "4,5"}


# launch scripts


@pytest.mark.parametrize("script", sorted((EXPERIMENTS / "launch").glob("*.sh")), ids=lambda path: path.name)
def test_a_launch_script_parses(script):
    subprocess.run(["bash", "-n", script], check=True)


SRUN = """#!/usr/bin/env bash
# Starts the tasks of one node after the other's, all on this machine, with the variables that SLURM would set.
for rank in $(seq 0 $((SLURM_NTASKS - 1))); do
    SLURM_STEP_ID=0 SLURM_PROCID=$rank SLURM_LOCALID=$((rank % SLURM_NTASKS_PER_NODE)) \\
        SLURM_NODEID=$((rank / SLURM_NTASKS_PER_NODE)) "$@" &
done
code=0
for job in $(jobs -p); do wait "$job" || code=$?; done
exit $code
"""


def metrics(run):
    return json.loads((run / "test/metrics.json").read_text())["metrics"]


def slurm(python, folder):
    """Stands in for SLURM: a folder for its commands, and the variables of a job of two nodes with one task each."""
    (folder / "bin").mkdir()
    for name, text in {"srun": SRUN, "scontrol": '#!/usr/bin/env bash\necho "scontrol $*"\n'}.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    nodes = {"SLURM_NNODES": "2", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_NODELIST": "localhost"}
    return {
        **os.environ,
        **nodes,
        "SLURM_JOB_ID": "71",
        "SLURM_JOB_NAME": "smir",
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHON": python,
        "PYTHONPATH": f"{SUPPORT / 'moments'}:{REPOSITORY}",
        "OMP_NUM_THREADS": "1",
    }


def test_the_slurm_script_requeues_when_one_rank_was_told_to_stop(python, field, tmp_path):
    """The script requeues; Lightning, which would handle SLURM's signals in another way, must not."""
    env = {**slurm(python, tmp_path), "SMIR_ACT": "step:1:1:USR1"}
    words = segment_words(field, "--run.experiment=two")
    command = [EXPERIMENTS / "launch/slurm.sh", *words]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 75, done.stderr[-3000:]
    assert done.stdout.count("scontrol requeue 71") == 1
    assert "smir: stopped by" in done.stderr
    assert not (tmp_path / "runs/two/seed0/DONE").exists()


def test_the_slurm_script_trains_on_two_nodes(python, field, tmp_path):
    env = slurm(python, tmp_path)
    words = segment_words(field, "--run.experiment=two")
    script = EXPERIMENTS / "launch/slurm.sh"
    done = subprocess.run(
        [script, *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "MEMBER: 2/2" in done.stderr + done.stdout
    assert (tmp_path / "runs/two/seed0/DONE").is_file()


@pytest.fixture
def hosts(tmp_path):
    """Two hosts in network namespaces with their own names, or two launchers on this host if there are no namespaces.

    Yields:
        The name of the first host, and the words before a command on each.
    """
    names = [f"smir{os.getpid()}{letter}" for letter in "ab"]
    addresses = ["10.251.7.1", "10.251.7.2"]
    table = "".join(f"{address} {name}\n" for address, name in zip(addresses, names, strict=True))
    steps = [
        *(f"netns add {name}" for name in names),
        f"link add {names[0]}v netns {names[0]} type veth peer name {names[1]}v netns {names[1]}",
        *(f"-n {name} addr add {address}/24 dev {name}v" for name, address in zip(names, addresses, strict=True)),
        *(f"-n {name} link set {device} up" for name in names for device in ("lo", f"{name}v")),
    ]
    folders = [Path("/etc/netns") / name for name in names]
    try:
        for step in steps:
            subprocess.run(["ip", *step.split()], check=True, capture_output=True)
        for folder in folders:
            folder.mkdir(parents=True)
            (folder / "hosts").write_text(f"127.0.0.1 localhost\n{table}")  # `ip netns exec` puts it in place
        begin = 'hostname "$0"; exec "$@"'
        yield names[0], [["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", begin, name] for name in names]
    except (OSError, subprocess.CalledProcessError):
        yield "localhost", [[], []]
    finally:
        for name, folder in zip(names, folders, strict=True):
            shutil.rmtree(folder, ignore_errors=True)
            if shutil.which("ip"):
                subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def test_the_torchrun_script_trains_on_two_nodes(python, field, tmp_path, hosts):
    head, begins = hosts
    env = {
        **os.environ,
        "NODES": "2",
        "HEAD": f"{head}:29671",
        "PYTHON": python,
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "1",
    }
    words = [EXPERIMENTS / "launch/torchrun.sh", *segment_words(field, "--run.experiment=two")]
    nodes = []
    for number, begin in enumerate(begins):
        with (tmp_path / f"node{number}.txt").open("w") as output:
            nodes.append(subprocess.Popen([*begin, *words], cwd=tmp_path, env=env, stdout=output, stderr=output))
        time.sleep(0.5)
    assert [node.wait(300) for node in nodes] == [0, 0], (tmp_path / "node0.txt").read_text()[-3000:]
    assert metrics(tmp_path / "runs/two/seed0")
