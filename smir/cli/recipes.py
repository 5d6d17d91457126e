"""The recipes are the configs of `experiments/`: `--config folder/pretrain` finds one by name, `recipes` lists them.

A checkout has them in `experiments/`; the wheel holds a copy, `smir/experiments/` (see `setup.py`).
"""

import difflib
import functools
import re
from itertools import takewhile
from pathlib import Path

from smir.errors import ConfigError

_SMIR = Path(__file__).parents[1]
FOLDER = next((folder for folder in (_SMIR / "experiments", _SMIR.with_name("experiments")) if folder.is_dir()), _SMIR)


@functools.cache
def names() -> list[str]:
    """Returns the name of every recipe, such as `folder/pretrain`."""
    return sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.glob("*/**/*.yaml"))


def recipe(name: str) -> Path | None:
    """Returns the file of a recipe by its name or its path in a checkout; None for any other name."""
    name = name.removeprefix("experiments/").removesuffix(".yaml")
    return FOLDER / f"{name}.yaml" if name in names() else None


def config_file(name: str) -> str:
    """Returns the file that a `--config` means: the file of that path, or the recipe of that name.

    Settings as YAML text are returned as they are.

    Raises:
        ConfigError: If the name is empty, or there is neither a file nor a recipe, or a folder.
    """
    if not name:  # such as `--config=$FILE` without the variable
        raise ConfigError("--config is empty. Give a file, or a recipe: `python -m smir recipes` lists the recipes.")
    if is_file(Path(name)) or re.search(r"[{\n]|: ", name):
        return name
    if found := recipe(name):
        return str(found)
    if Path(name).is_dir():
        inside = [str(path) for known in ("data.yaml", "config.yaml") if (path := Path(name) / known).is_file()]
        remedy = f" Give {inside[0]}." if inside else ""
        raise ConfigError(f"--config {name} is a folder; a config is a file.{remedy}")
    files = map(str, Path().glob("*/data.yaml")) if Path(name).name == "data.yaml" else ()
    near = difflib.get_close_matches(name, [*names(), *files], 3, 0.7)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ConfigError(
        f"--config {name}: there is no file {Path(name).absolute()}, and no recipe of that name.{meant} "
        "`python -m smir recipes` lists the recipes."
    )


def is_file(path: Path) -> bool:
    """Returns whether a path is a file; settings given as YAML text may be too long for a path.

    Raises:
        ConfigError: If it is a pipe or a device: the parser would open it, and wait or read for ever.
    """
    try:
        found, special = path.is_file(), path.exists() and not path.is_dir()
    except (OSError, ValueError):
        return False
    if special and not found:
        raise ConfigError(f"{path.absolute()} is a pipe or a device. Settings are read from files: copy it into one.")
    return found


def recipes(groups: list[str] | None = None) -> None:
    """Lists the recipes: settings that `--config NAME` reads, in a checkout and outside.

    `python -m smir recipes folder` lists one group: the recipes for your own images.

    Args:
        groups: Groups to list; words without an option are groups too. Default: all.

    Raises:
        ConfigError: If there is no such group.
    """
    from smir.terminal import columns

    known = sorted({name.split("/")[0] for name in names()}, key=lambda group: (group != "folder", group))
    if unknown := [group for group in groups or () if group not in known]:
        raise ConfigError(f"There is no group {unknown[0]} of recipes; the groups are {', '.join(sorted(known))}.")
    rows: list[list[str]] = []
    for group in known:
        if not groups or group in groups:
            rows += [[name, _about(name)] for name in names() if name.startswith(f"{group}/")]
            rows.append(["", ""])
    print(*columns(rows), f"--config takes these names. Their files are in {FOLDER}", sep="\n")
    if not groups:
        print("For your own images: python -m smir recipes folder. The other groups are listed in the same way.")


def _about(name: str) -> str:
    """Returns the first sentence of the comment that a recipe begins with."""
    lines = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    comment = " ".join(line[2:] for line in takewhile(lambda line: line.startswith("#"), lines))
    return re.split(r"(?<=\w)\. |;", comment)[0].removesuffix(".")


COMMANDS = recipes
WORDS = "groups"
