"""Logging to Weights & Biases: a run folder is one W&B run, whose id stays the same when it resumes.

Offline, W&B cannot resume: every start adds a segment, and `wandb sync` joins the segments of one id in order of their
start. `wandb.json` in the run folder has the id and that command. wandb itself is only imported for a run that it logs.
"""

import contextlib
import dataclasses
import os
import shlex
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers.wandb import WandbLogger
from lightning.pytorch.utilities import rank_zero_info

from smir.errors import ConfigError, RunError
from smir.files.json_record import read_dict, write_json
from smir.runs.launch import global_rank
from smir.runs.signals import Stopped

if TYPE_CHECKING:
    from wandb import Run

RECORD = "wandb.json"
FORMAT = 1

_HEADER_BYTES = 7
"""Size of an empty segment, which a kill can leave; a single one stops `wandb sync`."""
_ROWS_PER_EPOCH = 100
"""An upper bound on the rows that an epoch logs besides those of its steps."""


@dataclasses.dataclass
class WandbOptions:
    """Options for logging a run to Weights & Biases.

    Attributes:
        wandb: `online`, `offline` (kept in the run folder for `wandb sync`) or `off`; default: off, unless a sweep
            agent started this process, which then logs as the environment's WANDB_MODE says.
        project: The W&B project; default: the environment's WANDB_PROJECT, else `smir`.
    """

    wandb: Literal["online", "offline", "off"] | None = None
    project: str | None = None

    @property
    def mode(self) -> Literal["online", "offline"] | None:
        """The logging mode, or None for no logging."""
        if self.wandb is not None or sweep_run() is None:
            return None if self.wandb == "off" else self.wandb
        asked = os.environ.get("WANDB_MODE", "online")
        return None if asked == "disabled" else "offline" if asked in ("offline", "dryrun") else "online"


def sweep_run() -> tuple[str, str] | None:
    """Returns the ids of the sweep and of the W&B run for which an agent started this process."""
    sweep, run = os.environ.get("WANDB_SWEEP_ID"), os.environ.get("WANDB_RUN_ID")
    return (sweep, run) if sweep and run else None


def in_sweep(experiment: str) -> str:
    """Names the experiment of a run in a sweep `<experiment>/sweep-<sweep id>/<W&B run id>`."""
    ids = sweep_run()
    return experiment if ids is None else f"{experiment}/sweep-{ids[0]}/{ids[1]}"


@dataclasses.dataclass(frozen=True)
class Job:
    """The facts about a run that are sent to W&B.

    Attributes:
        folder: Folder of W&B's files.
        hash: Hash of settings and inputs; the id in the folder counts only for this one.
        phase: `pretrain`, `segment` or `test`.
        experiment: Name of the experiment.
        dataset: Name of the dataset.
        config: All settings, and the origin of the weights.
    """

    folder: Path
    hash: str
    phase: str
    experiment: str
    dataset: str
    config: dict[str, Any]


def log_to_wandb(trainer: Trainer, options: WandbOptions, job: Job) -> None:
    """Begins or continues the W&B run of a folder on rank 0, if the options ask for it.

    Raises:
        ConfigError: If wandb is not installed, or the config already has a `WandbLogger`.
        RunError: If W&B cannot be reached or does not know the user.
    """
    if options.mode is None or trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by the trainer's connector
        return
    if any(isinstance(logger, WandbLogger) for logger in trainer.loggers):
        if options.wandb is None:  # that logger takes the sweep's run
            return
        raise ConfigError(
            f"trainer.logger has a WandbLogger beside --run.wandb {options.wandb}. Leave one of them out."
        )
    try:
        from wandb import Error
    except ImportError as error:  # also if `wandb` is just a folder of that name
        raise ConfigError(
            f"Logging to W&B needs the package wandb ({error}). Run `pip install 'smir[wandb]'`, or leave it off with "
            "--run.wandb off."
        ) from error
    try:
        run = _begin(options, job) if global_rank() == 0 else None
    except Error as error:
        raise RunError(
            f"W&B did not start the run: {error}. Log in with `wandb login` and check the network, or keep the run "
            "here with --run.wandb offline."
        ) from error
    # Every rank has a logger, so that all take the same branches; only rank 0 opens a run.
    trainer.loggers = [*trainer.loggers, WandbLogger(experiment=run, save_dir=job.folder)]
    trainer.callbacks.append(_WandbRecord(run))  # type: ignore[attr-defined]  # set in its constructor


@contextlib.contextmanager
def ending_the_wandb_run() -> Iterator[None]:
    """Ends the W&B run of this process, if there is one, as finished, failed, or killed (by Ctrl-C).

    A sweep that ends a run early interrupts or terminates it. This must not look like a failure: after a few, the agent
    would give up.

    Raises:
        SystemExit: With code 0, if the sweep has ended the run.
    """
    code = 1
    try:
        yield
        code = 0
    except SystemExit as stop:  # Lightning raises it for an interrupt, `smir.runs.signals` for a signal
        interrupted = isinstance(stop, Stopped) or isinstance(stop.__context__, KeyboardInterrupt)
        if sweep_run() and interrupted:
            code = 0
            raise SystemExit(0) from None
        code = 255 if interrupted else 1
        raise
    finally:
        run = getattr(sys.modules.get("wandb"), "run", None)
        if run is not None:
            run.finish(exit_code=code)


class _WandbRecord(Callback):
    """Writes the score of the best checkpoint to W&B's summary, and keeps the steps of offline segments increasing."""

    def __init__(self, run: "Run | None") -> None:
        self._run = run

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins a further offline segment after all rows of the earlier ones; online, W&B does that."""
        if self._run is not None and self._run.offline and trainer.current_epoch > 0:
            row = {"epoch": trainer.current_epoch, "trainer/global_step": trainer.global_step}
            self._run.log(row, step=trainer.global_step + _ROWS_PER_EPOCH * trainer.current_epoch)

    def on_train_end(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException | None = None
    ) -> None:
        """Writes the best score to the summary, the goal of a sweep; otherwise it would be that of the last epoch."""
        if self._run is None:
            return
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.monitor and callback.best_model_score is not None:
                self._run.summary[callback.monitor] = float(callback.best_model_score)

    on_exception = on_train_end


def _begin(options: WandbOptions, job: Job) -> "Run":
    import wandb

    assert options.mode is not None
    record = _record(job)
    ids = sweep_run()
    run_id = ids[1] if ids else record.get("id") or uuid.uuid4().hex[:12]
    project = options.project or record.get("project") or os.environ.get("WANDB_PROJECT") or "smir"
    _save_record(options.mode, job, run_id, project)
    # For the whole process: set for just the run, an offline wandb would still send telemetry.
    wandb.setup(settings=wandb.Settings(mode=options.mode))
    run = wandb.init(
        mode=options.mode,
        dir=job.folder,
        # The agent of a sweep has already given both to wandb.
        id=None if ids else run_id,
        project=None if ids else project,
        resume="allow" if options.mode == "online" else None,
        name=f"{job.experiment}/seed{int(job.config['seed_everything'])}",
        group=job.experiment.rpartition(f"/{run_id}")[0] or job.experiment,
        job_type=job.phase,
        tags=[job.dataset],
        config=job.config,
    )
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return run


def _record(job: Job) -> dict[str, Any]:
    """Reads `wandb.json`; empty if it is missing or from other settings.

    Raises:
        RunError: If it is damaged or of another format.
    """
    path = job.folder / RECORD
    record = read_dict(path, "Delete it to log under a new W&B run id.")
    if record is not None and record.get("format") != FORMAT:
        raise RunError(f"{path} has format {record.get('format')}; this version of smir reads {FORMAT}.")
    return record if record and record["hash"] == job.hash else {}


def _save_record(mode: str, job: Job, run_id: str, project: str) -> None:
    segments = job.folder / "wandb"
    for segment in segments.glob(f"offline-run-*-{run_id}"):
        if all(log.stat().st_size <= _HEADER_BYTES for log in segment.glob("*.wandb")):
            shutil.rmtree(segment)
    command = f"wandb sync {shlex.quote(str(segments))}/offline-run-*-{run_id}"
    record = {"format": FORMAT, "id": run_id, "project": project, "hash": job.hash, "sync": command}
    write_json(job.folder / RECORD, record)
    if mode == "offline":
        rank_zero_info(f"W&B is offline. This uploads the run, all its segments in order: {command}")
