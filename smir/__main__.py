"""`python -m smir`. It imports only the modules that the command needs."""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from smir import __version__
from smir.errors import SmirError

try:
    from smir.cli.trust import expand_includes, scan_words, take_allowed
    from smir.runs.signals import requeue_on_signal
except ModuleNotFoundError as missing:  # in a checkout, any Python finds smir itself
    raise SystemExit(
        f"smir: error: {sys.executable} has no package {missing.name!r}. Activate the environment that smir is "
        "installed in (source .venv/bin/activate), or install it: python -m pip install ."
    ) from None

TRAINING = {
    "fit": "train a model: pretraining or segmentation, from a YAML config and flags",
    "validate": "compute the validation metrics of a checkpoint",
    "test": "compute the test metrics of a checkpoint",
    "predict": "write the predicted labels of images as PNGs",
}
PLAIN = {
    "prepare": "prepare a dataset: your own images and labels, the archives of a published one, a synthetic field",
    "check": "decode every file of a dataset; report counts, sizes, classes, overlaps, and all errors",
    "stats": "compute mean and std of a dataset, exact over all pixels, and its class shares",
    "job": "run one training among many: claims free GPUs, keeps its log, fails if the run is not done",
    "plan": "print how many runs, image visits and hours the paper still needs",
    "inspect": "show hard patches and wrong predictions of a network, as one page with pictures",
    "report": "make the paper's tables and figures from finished runs, as Markdown, CSV, LaTeX and one page",
    "export": "write a trained network as safetensors, ONNX and torch.export, with a model card; runs without smir",
}
COMMANDS = TRAINING | PLAIN
MODULES = {
    "prepare": "smir.prepare.command",
    "check": "smir.data.audit.command",
    "stats": "smir.data.audit.stats",
    "job": "smir.cli.job",
    "plan": "smir.cli.plan",
    "inspect": "smir.inspect.command",
    "report": "smir.report.command",
    "export": "smir.export.command",
}
"""The modules of the plain commands."""

NOISE = (
    # Raised inside Lightning with current versions of torch.
    r".*isinstance\(treespec, LeafSpec\).*",
    # A resumed run has checkpoints, and a test does not need the callbacks of the training.
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*callbacks used to create the checkpoint need to be provided.*",
    # smir changes the arguments of the shell: it takes out `--allow`, and adds included files.
    r".*LightningCLI's args parameter is intended.*",
    # Metrics are logged per epoch.
    r".*smaller than the logging interval.*",
)
"""Warnings of libraries that a user of smir cannot act on."""


def _overview() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return f"""usage: python -m smir COMMAND [options]

Selective Masking Image Reconstruction: pretrain a whole U-Net without labels, then segment.

{commands}

python -m smir COMMAND --help explains a command, python -m smir fit --data.help Folder a class.
--allow PACKAGE, with any command, lets a config name classes of a package that smir does not know."""


def user_message(error: BaseException | None) -> str | None:
    """Returns the message of the user's error behind an exception; None for a bug.

    The parser wraps the errors of constructors, and a loader worker puts its traceback around the message.
    """
    while not isinstance(error, SmirError):
        if error is None:
            return None
        error = error.__cause__
    name, text = f"{type(error).__module__}.{type(error).__name__}: ", str(error)
    return text.rsplit(name, 1)[-1].strip() if "Original Traceback" in text else text


def main(args: Sequence[str] | None = None) -> None:
    """Runs one command.

    Args:
        args: The words after `python -m smir`; default: the arguments of this process.

    Raises:
        SystemExit: With code 2 for a wrong option, 130 after Ctrl-C, 1 for any other error that the user can act on.
    """
    # Read when torch is imported. Threads that spin while they wait take the processor from other programs: beside two
    # busy ones a step takes 2.9 times as long, alone it takes 0.91 of the time (docs/benchmarks.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        words, packages = take_allowed(sys.argv[1:] if args is None else args)
    except SmirError as error:
        print(f"smir: error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return
    if words[0] == "--version":
        print(f"smir {__version__}")
        return
    if words[0] not in COMMANDS:
        print(f"smir: there is no command {words[0]!r}.\n\n{_overview()}", file=sys.stderr)
        raise SystemExit(2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # some file names cannot be shown by a terminal
            stream.reconfigure(errors="backslashreplace")
    for noise in NOISE:
        warnings.filterwarnings("ignore", message=noise)
    try:
        words = expand_includes(words)
        scan_words(words, packages)
        from smir.cli.guarded import trust_only

        trust_only(packages)
        if words[0] in PLAIN:
            from smir.cli.plain import run_plain

            run_plain(words[0], MODULES[words[0]], words[1:])
        else:
            with requeue_on_signal() if words[0] == "fit" else contextlib.nullcontext():
                _run_training(words)
    except KeyboardInterrupt:
        print(f"smir: {words[0]} was interrupted.", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        if (message := user_message(error)) is None:
            raise
        print(f"smir: error: {message}", file=sys.stderr)
        raise SystemExit(1) from None


def _run_training(words: list[str]) -> None:
    """Runs one of Lightning's commands, and prints the next one unless `make` chains them."""
    from smir.files.memory import keep_freed_memory

    keep_freed_memory()
    from smir.cli import hints
    from smir.cli.command_line import run_cli
    from smir.files.locks import release_all
    from smir.runs.launch import AlreadyDone, global_rank
    from smir.runs.wandb_logging import ending_the_wandb_run

    images = None
    try:
        with ending_the_wandb_run():
            cli = run_cli(words)
        finished, images = cli.finished, cli.datamodule.predict_images
    except AlreadyDone as done:
        finished = Path(str(done))
        if global_rank() == 0:
            print(f"{done} has finished before; delete the folder to run it again.")
    except BaseException:
        release_all()  # in a notebook, the traceback would keep the run folder locked
        raise
    run = finished
    if run is not None and global_rank() == 0 and "MAKELEVEL" not in os.environ:
        hints.tell(lambda: hints.after_predict(run, images) if words[0] == "predict" else hints.after_fit(run))


if __name__ == "__main__":
    main()
