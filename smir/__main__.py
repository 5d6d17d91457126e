"""`python -m smir`. It imports only the modules that the command needs."""

import contextlib
import errno
import os
import re
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from smir import __version__
from smir.errors import LostProcessError, SmirError

try:
    from smir.cli.options import NoSuchOption, check_options
    from smir.cli.trust import PACKAGES, scan_words, take_allowed
    from smir.cli.words import as_meant, expand_includes, with_config_of_run, without_start_of_run
    from smir.runs.signals import requeue_on_signal
    from smir.terminal import guard_terminal, plain_warnings
except ModuleNotFoundError as missing:  # in a checkout, any Python finds smir itself
    raise SystemExit(
        f"smir: error: {sys.executable} has no package {missing.name!r}. Activate the environment that smir is "
        "installed in (source .venv/bin/activate), or install it: python -m pip install ."
    ) from None

TRAINING = {
    "fit": "train a model: pretraining or segmentation, from a YAML config and flags",
    "validate": "compute the validation metrics of a checkpoint",
    "test": "compute the test metrics of a checkpoint",
    "predict": "write predicted labels of images of any size: PNGs, GeoTIFFs, areas and polygons",
}
PLAIN = {
    "recipes": "list the recipes: settings that --config takes by name, such as --config folder/pretrain",
    "prepare": "prepare a dataset: your own images and labels, the archives of a published one, a synthetic field",
    "check": "decode every file of a dataset; report counts, sizes, classes, overlaps, and all errors",
    "stats": "compute mean and std of a dataset, exact over all pixels, and its class shares",
    "job": "run one training among many: claims free GPUs, keeps its log, fails if the run is not done",
    "plan": "print how many runs, image visits and hours the paper still needs",
    "choose": "choose the images to label: typical and different ones, or those a segmentation is not sure of",
    "inspect": "show hard patches and wrong predictions of a network, as one page with pictures",
    "report": "make the paper's tables and figures from finished runs, as Markdown, CSV, LaTeX and one page",
    "export": "write a trained network as safetensors, ONNX and torch.export, with a model card; runs without smir",
}
COMMANDS = TRAINING | PLAIN
MODULES = {
    "recipes": "smir.cli.recipes",
    "prepare": "smir.prepare.command",
    "check": "smir.data.audit.command",
    "stats": "smir.data.audit.stats",
    "job": "smir.cli.job",
    "plan": "smir.cli.plan",
    "choose": "smir.choose.command",
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

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.EPIPE, errno.ESTALE)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EEXIST)
_OF_THE_SYSTEM = {*_FULL, *_FORBIDDEN, *_IN_THE_WAY}
"""Errors that no program can prevent."""


def _overview() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return f"""usage: python -m smir COMMAND [options]

Selective Masking Image Reconstruction: pretrain a whole U-Net without labels, then segment.

{commands}

python -m smir COMMAND --help explains a command; python -m smir fit --data.help Folder explains a class.
--allow PACKAGE, with any command, lets a config name classes of a package that smir does not know."""


def user_message(error: BaseException | None) -> str | None:
    """Returns the message of the user's error behind an exception; None for a bug.

    The parser wraps the errors of constructors, and a loader worker puts its traceback around the message.
    """
    while not isinstance(error, SmirError):
        if error is None:
            return None
        if isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
            place = "" if error.filename is None else f"{Path(os.fsdecode(error.filename)).absolute()}: "
            if error.errno == errno.ELOOP:
                return f"{place}it is a link that leads back to itself. Remove it."
            if error.errno == errno.EEXIST:
                return f"{place}a file, or a link to nowhere, is in the place of a folder. Move it away."
            return f"{place}{error.strerror}. Free some space or correct the permissions, then repeat the command."
        if isinstance(error, ValueError) and str(error) == "embedded null byte":
            return "The settings have a name or path with a null character, which no file has. Correct it."
        if isinstance(error, RuntimeError) and re.match("DataLoader worker|(?s:.*)</torch_", text := str(error)):
            return (
                f"{text.strip().splitlines()[-1]}: a loader process ended, usually because memory ran out; in a "
                "container that may be /dev/shm. Use fewer (--data.num_workers) or a smaller --data.batch_size."
            )
        if type(error).__name__ == "OutOfMemoryError":  # torch's, which not every command imports
            return (
                f"{str(error).partition('. ')[0]}. Use smaller batches (--data.batch_size; for predict "
                "--data.predict.batch_size; for inspect and choose --batch_size), a smaller --data.crop_size or "
                "--trainer.precision bf16-mixed, or end other programs on the GPU; nvidia-smi lists them."
            )
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
    guard_terminal()
    plain_warnings()
    # Read when torch is imported. Threads that spin while they wait take the processor from other programs: beside two
    # busy ones a step takes 3 to 11 times as long, alone 0.8 to 0.9 of the time (docs/benchmarks.md, "a training step
    # beside two busy processes").
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        typed = list(sys.argv[1:] if args is None else args)
        words, packages = take_allowed(typed)
        words = as_meant(words, "ckpt_path" if words[:1] and words[0] in TRAINING else "ckpt")
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
    for noise in NOISE:
        warnings.filterwarnings("ignore", message=noise)
    try:
        words = expand_includes(without_start_of_run(with_config_of_run(words)))
        scan_words(words, packages)
        check_options(words, MODULES.get(words[0]), packages != list(PACKAGES))
        from smir.cli.guarded import import_allowed, trust_only

        trust_only(packages)
        if words[0] in PLAIN:
            import_allowed()
            from smir.cli.plain import run_plain

            run_plain(words[0], MODULES[words[0]], words[1:])
        else:
            with requeue_on_signal() if words[0] == "fit" else contextlib.nullcontext():
                _run_training(words)
    except KeyboardInterrupt:
        _say_interrupted(words[0], typed)
        raise SystemExit(130) from None
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):  # Lightning ends the process itself
            raise
        _say_interrupted(words[0], typed)
        raise SystemExit(130) from None
    except BrokenPipeError:  # the program that read the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left to print at the exit goes nowhere
        raise SystemExit(1) from None
    except Exception as error:
        if (message := user_message(error)) is None:
            raise
        launch = sys.modules.get("smir.runs.launch")  # not loaded: there is a single process
        if launch is not None and not isinstance(error, LostProcessError):
            launch.let_rank_zero_speak()
        print(f"smir: error: {message}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, NoSuchOption) else 1) from None


def _say_interrupted(command: str, typed: list[str]) -> None:
    """Says what remains after Ctrl-C, and which words continue it."""
    print(f"smir: {command} was interrupted.", file=sys.stderr)
    if command == "fit":
        from smir.runs.launch import what_is_kept

        print(f"{what_is_kept()}: python -m smir {shlex.join(typed)}", file=sys.stderr)


def _run_training(words: list[str]) -> None:
    """Runs one of Lightning's commands, and prints the next one unless `make` chains them."""
    from smir.files.memory import keep_freed_memory, no_garbage_collection
    from smir.runs.slurm import check_tasks

    check_tasks()
    keep_freed_memory()
    with no_garbage_collection():
        from smir.cli.command_line import run_cli
    from smir.cli import hints
    from smir.files.locks import release_all
    from smir.runs.launch import AlreadyDone, global_rank
    from smir.runs.run_folder import forget_failed_starts, held
    from smir.runs.wandb_logging import ending_the_wandb_run

    images = None
    for earlier in held():  # of another command of this process; a message would name it
        earlier.unlock()
    try:
        with ending_the_wandb_run():
            cli = run_cli(words)
        finished, images = cli.finished, cli.datamodule.predict_images
    except AlreadyDone as done:
        finished = Path(str(done))
        if global_rank() == 0:
            print(f"{done} has finished before; delete the folder to run it again.")
    except BaseException as error:
        if user_message(error) is not None:
            forget_failed_starts()
        release_all()  # in a notebook, the traceback would keep the run folder locked
        raise
    run = finished
    if run is not None and global_rank() == 0 and "MAKELEVEL" not in os.environ:
        hints.tell(lambda: hints.after_predict(run, images) if words[0] == "predict" else hints.after_fit(run))


if __name__ == "__main__":
    main()
