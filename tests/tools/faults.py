"""The sweep of refused system calls: python tests/tools/faults.py --done build/faults.jsonl (`make faults`).

In every command, the n-th open, creation, write, sync, rename or making of a folder or link fails, for every n that
occurs. Then the command must end with one message and, when repeated, write the same files as an undisturbed one. Or it
continues without the call and writes the same files at once. It can do without the sync of a folder, the making of
a folder that exists, a hard link (it copies), the image cache, or the search for leftovers of an earlier command.

A sweep that was stopped continues from its file of verdicts; refusals with a wrong outcome are tried again.
"""

import argparse
import errno
import gc
import importlib
import json
import os
import random
import re
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import fakes
from compare_runs import content, difference
from refusals import ERRORS, Ended, Refusal, end, fork
from words import EVERY_EPOCH, EXPERIMENTS, QUIET, TINY_NETWORK

PRELOADED = ("smir.cli.command_line", "smir.cli.hints", "smir.cli.plain", "smir.cli.trust", "smir.training")
SIZE = (16, 24)
BEST = "runs/field/segment/seed0/checkpoints/best.ckpt"
CONFIG = ["--config=runs/field/segment/seed0/config.yaml", "--ckpt_path=best", *QUIET]
SMALL = ["--width=256", "--height=192", "--train_tiles=2", "--val_tiles=1", "--test_tiles=1"]


def fit(kind: str, *more: str) -> list[str]:
    """Returns the words of a training on the prepared folder."""
    given = [f"--config={EXPERIMENTS / 'folder' / kind}.yaml", "--config=field/data.yaml", *TINY_NETWORK, *QUIET]
    data = ["--data.num_workers=0", "--data.batch_size=2", "--data.cache=true", "--data.cache_folder=cache"]
    return ["fit", *given, *data, "--model.warmup_epochs=0", EVERY_EPOCH, *more]


COMMANDS = {
    "prepare folder": ["--images=photos/images", "--labels=photos/labels", "--classes=[soil,crop,weed]"],
    "prepare synthetic": [
        "--root=demo",
        "--width=256",
        "--height=192",
        "--train_tiles=2",
        "--val_tiles=1",
        "--test_tiles=1",
    ],
    "prepare nassar": ["--root=demo", "--tile=64"],
    "prepare pascal_voc": ["--root=voc", "--archives=archives/voc"],
    "prepare cityscapes": ["--root=city", "--archives=archives/city"],
    "prepare sugar_beets": ["--root=beets", "--archives=archives/beets"],
    "check": ["--config=field/data.yaml"],
    "stats": ["--config=field/data.yaml"],
    "fit pretrain": fit("pretrain", "--trainer.max_epochs=2", "--data.crop_size=192"),
    "fit segment": fit("segment", "--trainer.max_epochs=1", "--data.crop_size=64"),
    "validate": CONFIG,
    "test": CONFIG,
    "predict": [*CONFIG, "--data.predict_images=photos/images"],
    "inspect": [f"--ckpt={BEST}", "--device=cpu", "--limit=2"],
    "export": [f"--ckpt={BEST}", "--formats=[weights,encoder]"],
    "report": ["runs"],
}
Choose = Callable[[Counter[str]], list[Refusal]]
"""Chooses refusals, by how many calls of each kind there are."""


class Verdict(NamedTuple):
    """The outcome of a refusal: the files of the refused calls, whether the command went on, and what is wrong."""

    refusal: Refusal
    files: list[str]
    without: bool
    wrong: str


class Place:
    """The folders of a sweep: `work`, where commands run, and its states before and after an undisturbed command."""

    def __init__(self, root: Path) -> None:
        self.root, self.work, self.log = root, root / "work", root / "log"
        self.start, self.end = root / "start", root / "end"
        self.calls = root / "calls.json"

    def keep(self, state: Path) -> None:
        """Copies the present state."""
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(self.work, state)

    def restore(self, state: Path) -> None:
        """Goes back to a state."""
        shutil.rmtree(self.work)
        shutil.copytree(state, self.work)

    def files(self) -> dict[str, Any]:
        """Returns contents that must be equal after two commands: all bytes but, for runs, times and earlier starts."""
        root = self.work
        found: dict[str, Any] = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for path in root.glob("runs/*/*/*/metrics.csv"):
            run = path.parent.relative_to(root)
            for name in (*(f"{run}/{name}" for name in _VARY), *(f"{run}/checkpoints/{name}.ckpt" for name in _KEPT)):
                found.pop(name, None)
            found[str(run)] = content(root / run)
        if prepared := found.get("field/prepared.json"):  # it records how images were linked, which may differ
            found["field/prepared.json"] = prepared.replace(_SOFT, b"linked (no copies)")
        return {name: content for name, content in found.items() if not re.match(r"cache/.*(?<!\.tmp)$", name)}


_SOFT = b"linked (symbolic links: keep the photographs where they are)"
_VARY, _KEPT = ("environment.json", "metrics.csv", "DONE", "lock"), ("best", "last", "previous")


def sweep(place: Place, choose: Choose, tell: Callable[[Verdict], None]) -> bool:
    """Runs a command again and again in forks; returns True in a fork, which then runs the command."""
    whole = fork(place.work, place.log)
    if whole is None:
        return True
    if whole.code:
        print(f"Without any refusal: {whole.said[-3000:]}", flush=True)
        os._exit(1)
    place.keep(place.end)
    place.calls.write_text(json.dumps(whole.calls))
    expected = place.files()
    for refusal in choose(whole.calls):
        place.restore(place.start)
        first = fork(place.work, place.log, refusal)
        if first is None:
            return True
        wrong = _wrong(first, place, expected)
        if first.code and not wrong:
            again = fork(place.work, place.log)
            if again is None:
                return True
            wrong = f"the next one: {again.said[-2000:]}" if again.code else _differs(place, expected)
        tell(Verdict(refusal, first.refused, not first.code, wrong))
        if wrong:
            files = ", ".join(first.refused[:2])
            print(f"  {refusal} ({files}): {wrong}\n    it said: {first.said.strip()[-1500:]}", flush=True)
    place.restore(place.end)
    return False


def _wrong(ended: Ended, place: Place, expected: dict[str, Any]) -> str:
    """Returns what is wrong after a command with a refused call, or an empty text."""
    if not ended.code:
        return _differs(place, expected) and f"it ends as if done, but {_differs(place, expected)}"
    messages = len(re.findall(r"^smir: error: |^Problems: \d", ended.said, re.MULTILINE))  # `check` counts problems
    if ended.code != 1 or messages != 1 or "Traceback" in ended.said:
        return f"code {ended.code}, {messages} messages"
    return _half_written(place, expected)


def _differs(place: Place, expected: dict[str, Any]) -> str:
    return difference(expected, place.files()) or ""


def _half_written(place: Place, expected: dict[str, Any]) -> str:
    """Returns a file that is neither the old one, nor the new one, nor complete."""
    for path in place.work.rglob("*"):
        name = str(path.relative_to(place.work))
        old = place.start / name
        if not path.is_file() or path.suffix == ".tmp" or path.name == "lock" or name.startswith("cache/"):
            continue
        found = path.read_bytes()
        if expected.get(name) != found and not (old.is_file() and old.read_bytes() == found) and not _whole(path):
            return f"{name} is half-written"
    return ""


def _whole(path: Path) -> bool:
    """Returns whether a file of a run can be read to its end."""
    if path.suffix in (".ckpt", ".npz"):
        return zipfile.is_zipfile(path) and zipfile.ZipFile(path).testzip() is None
    text = path.read_text(errors="replace")
    try:
        return bool(json.loads(text)) if path.suffix == ".json" or path.name == "DONE" else text.endswith("\n")
    except ValueError:
        return False


def do(name: str, place: Place, choose: Choose, tell: Callable[[Verdict], None]) -> Counter[str]:
    """Sweeps over one command, in a separate process that has parsed its words; returns the counts of its calls."""
    from smir.__main__ import TRAINING, main
    from smir.cli.command_line import SmirCLI

    command = name.split()[0]
    words = COMMANDS[name] if command == "fit" else [*name.split(), *COMMANDS[name]]
    place.keep(place.start)

    def begin() -> None:
        if not sweep(place, choose, tell):
            os._exit(0)

    def work() -> None:
        os.chdir(place.work)
        sys.argv = ["smir"]
        if command in TRAINING:
            before = SmirCLI.before_instantiate_classes
            SmirCLI.before_instantiate_classes = lambda cli: (begin(), before(cli))[1]
        else:
            begin()
        main(words)

    if not (child := os.fork()):
        end(work)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"The sweep of {name} has broken off.")
    return Counter(json.loads(place.calls.read_text()))


class Done:
    """The verdicts so far, in a file with one line for each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def tell(self, name: str, verdict: Verdict) -> None:
        """Adds a verdict about a command."""
        with self.path.open("a") as file:
            file.write(json.dumps([name, *verdict]) + "\n")

    def of(self, name: str) -> dict[Refusal, Verdict]:
        """Returns the last verdict on every refusal of a command."""
        found = {}
        for command, refusal, *more in map(json.loads, self.path.read_text().splitlines()):
            if command == name:
                found[Refusal(*refusal)] = Verdict(Refusal(*refusal), *more)
        return found


def write_inputs(place: Place) -> None:
    """Writes the inputs of the commands: photographs with labels, and archives of the published datasets."""
    photos, archives = place.work / "photos", place.work / "archives"
    (place.work / "tmp").mkdir(parents=True)
    fakes.write_folder(photos, count=8, size=(192, 256))
    made = place.root / "made"
    fakes.write_pascal_voc(made, train=1, val=1, test=2, unlabelled=1, size=SIZE)
    fakes.write_cityscapes(made, extra=2, train=2, val=1, test=1, lists=False, size=SIZE)
    fakes.write_sugar_beets(made, weeds=3, plain=1, lists=False, size=SIZE)
    voc = made / "pascal/VOCtrainvaltest"
    packed = {f"voc/{year}.tar": (voc, voc / "VOCdevkit" / year) for year in ("VOC2007", "VOC2012")}
    packed |= {f"city/{part.name}.zip": (part, part) for part in (made / "cityscapes").iterdir()}
    packed |= {f"beets/{day.name}.tar.gz": (day.parent, day) for day in (made / fakes.BEETS).glob("CKA*")}
    for name, (base, folder) in packed.items():
        stem, _, kind = name.partition(".")
        form = {"tar": "tar", "zip": "zip", "tar.gz": "gztar"}[kind]
        (archives / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.make_archive(str(archives / stem), form, base, folder.relative_to(base))
    shutil.rmtree(made)


def plan(name: str, calls: Counter[str], every: bool, sample: int | None, first: int = 1) -> list[Refusal]:
    """Returns the refusals of a command: all from the first, each call with one error in turn, or a random sample."""
    chosen = []
    for kind, errors in ERRORS.items():
        for number, error in zip(range(1, calls[kind] + 1), cycle(errors), strict=False):
            chosen += [Refusal(kind, number, each) for each in (errors if every else [error])]
    chosen = chosen[first - 1 :]
    if sample is None:
        return chosen
    draw = random.Random(name)
    draw.shuffle(chosen)
    return chosen[:sample]


def main() -> None:
    """Sweeps over all or some commands; ends with code 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(COMMANDS), choices=COMMANDS, help="commands; others run once")
    parser.add_argument("--sample", type=int, help="refusals of a command, drawn at random; default: all")
    parser.add_argument("--first", type=int, default=1, help="number of the first refusal of a command; default: 1")
    parser.add_argument("--every-error", action="store_true", help="fail each call with every error, not one in turn")
    parser.add_argument("--refuse", nargs="*", default=[], help="refusals such as 'write 12 ENOSPC' instead")
    parser.add_argument("--done", type=Path, help="verdicts on this code; what is right there is not refused again")
    parser.add_argument("--out", type=Path, help="file for the table")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="smir-faults-")).resolve()
    place = Place(root)
    write_inputs(place)
    os.environ["TMPDIR"] = str(place.work / "tmp")
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    given = [Refusal(kind, int(n), getattr(errno, name)) for kind, n, name in map(str.split, options.refuse)]
    rows, done = [], Done(options.done or root / "done.jsonl")
    for name in list(COMMANDS)[: 1 + max(list(COMMANDS).index(name) for name in options.only)]:

        def choose(calls: Counter[str], name: str = name) -> list[Refusal]:
            if name not in options.only:
                return []
            right = {refusal for refusal, verdict in done.of(name).items() if not verdict.wrong}
            chosen = plan(name, calls, options.every_error, options.sample, options.first)
            return given or [refusal for refusal in chosen if refusal not in right]

        calls = do(name, place, choose, partial(done.tell, name))
        if name in options.only:
            rows.append(_row(name, calls, list(done.of(name).values())))
            print(rows[-1], flush=True)
    shutil.rmtree(root)
    if options.out:
        options.out.write_text("\n".join([_HEAD, *rows, ""]))
    sys.exit(any(not row.endswith("| 0 |") for row in rows))


_HEAD = f"""| command | {" | ".join(ERRORS)} | refused | told | did without | wrong |
|---|{"--:|" * (len(ERRORS) + 4)}"""


def _row(name: str, calls: dict[str, int], verdicts: list[Verdict]) -> str:
    """Returns the line of a command in the table: its calls by kind, and the outcomes of the refused ones."""
    wrong = sum(bool(verdict.wrong) for verdict in verdicts)
    without = sum(verdict.without for verdict in verdicts)
    counts = [*(calls.get(kind, 0) for kind in ERRORS), len(verdicts), len(verdicts) - without, without, wrong]
    return f"| {name} | {' | '.join(map(str, counts))} |"


if __name__ == "__main__":
    main()
