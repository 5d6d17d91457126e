"""The words of a command before its parser sees them: short names, the config of a run, and included files."""

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from smir.cli.ablations import Masking
from smir.cli.options import before_dashes, names_config, options_in
from smir.cli.recipes import config_file, is_file, recipe
from smir.cli.trust import read_yaml
from smir.errors import ConfigError


def as_meant(words: Sequence[str], ckpt: str) -> list[str]:
    """Expands the `~` that the shell leaves, as in `--root=~/field`, and gives `--ckpt` the option's name `ckpt`."""
    words = [re.sub(r"^--ckpt(_path)?(?==|$)", f"--{ckpt}", word) for word in words]
    return [re.sub(r"^(--[\w.+-]+=)?~(?=/)", lambda found: f"{found[1] or ''}{Path.home()}", word) for word in words]


def with_config_of_run(words: Sequence[str]) -> list[str]:
    """Adds the config of the run of `--ckpt FILE` to `predict`, `test` or `validate` if no other names a model."""
    pairs = [*options_in(words)]
    given = dict(pairs)
    folder = Path(given.get("--ckpt_path", "")).parent
    config = folder.parent / "config.yaml"
    alone = folder.name == "checkpoints" and not given.keys() & {"--model", "--data"}
    if not (alone and words[0] in ("predict", "test", "validate") and is_file(config)):
        return list(words)
    others = [Path(config_file(value)) for flag, value in pairs if names_config(flag) and value]
    return [words[0], f"--config={config}", *words[1:]] if all(map(_has_data_alone, others)) else list(words)


def without_start_of_run(words: Sequence[str]) -> list[str]:
    """Takes the checkpoint that a run began from out of its config, for commands that use trained weights.

    Otherwise `test --config RUN/config.yaml` would test the run that this one continued.
    """
    if not words or words[0] not in ("predict", "test", "validate") or any(w.startswith("--ckpt") for w in words):
        return list(words)
    found: list[str] = []
    for before, word in zip(["", *words[:-1]], words, strict=True):
        found.append(word)
        flag, equals, value = word.partition("=")
        name = value if equals and names_config(flag) else word if names_config(before) else ""
        path = Path(config_file(name)) if name else None
        if path is not None and is_file(path) and (path.parent / "run.json").is_file():
            content = read_yaml(path)
            if isinstance(content, dict) and content.get("ckpt_path"):
                found.append("--ckpt_path=null")  # a config after it may name another one
    return found


def _has_data_alone(path: Path) -> bool:
    """Returns whether a file is a config without a model, such as `data.yaml` of `prepare folder`."""
    content = read_yaml(path) if is_file(path) else None
    return isinstance(content, dict) and not content.keys() & {"model", "include"}


def expand_includes(words: Sequence[str]) -> list[str]:
    """Puts the files that a config includes in front of it; the parser then merges all from left to right.

    So a row of `experiments/` holds only its differences:

    ```yaml
    include: [{data: ../data/nassar.yaml}, ../base/pretrain.yaml]
    ```

    An entry is a config file, or `{data: FILE}` for `--data FILE` on the command line. Paths are relative to the file
    that names them; where there is no such file, the name of a recipe will do. A file that several others include is
    read once, at its first place. Two entries are for ablations, and look at the masking of the configs before:
    `{requires: selection}` (or `stages`) refuses a row without it, and `{fixed_masks: FILE}` includes the file only for
    a row that fixes its masks by a policy.

    Returns:
        The words of the command, with a `--config` or `--data` for every included file.

    Raises:
        ConfigError: If a file is not YAML, an included file is missing or includes itself, an entry is invalid, or the
            row lacks what a file requires; if a recipe replaces the root in a `data.yaml` before it.
    """
    own = before_dashes(words)
    masking = Masking()
    expanded: list[str] = []
    rest = iter(own)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag == "--include":
            raise ConfigError("`include` is a key of config files. On the command line, repeat --config.")
        if names_config(flag) and (equals or (value := next(rest, ""))):
            expanded += _files(value, [], set(), masking)
            continue
        if flag == "--data" and (equals or (value := next(rest, ""))):
            expanded += ["--data", value if is_file(Path(value)) else str(recipe(value) or value)]
            continue
        if "SelectiveMasking" in word:  # --trainer.callbacks+=SelectiveMasking
            masking.read({"trainer": {"callbacks": "SelectiveMasking"}})
        expanded.append(word)
    if not any(word.startswith("--data.root") for word in own):
        _refuse_replaced_root(expanded)
    return [*expanded, *words[len(own) :]]


def _files(name: str, within: list[Path], read: set[Path], masking: Masking) -> Iterator[str]:
    """Yields option and path of every file to read, the included ones first."""
    name = config_file(name)
    path = Path(name)
    chain = [*within, path]
    content = read_yaml(path) if is_file(path) else None
    if is_file(path) and not isinstance(content, dict):
        found = "nothing" if content is None else "a list" if isinstance(content, list) else repr(content)
        raise ConfigError(
            f"The config {path} holds {found} in place of settings, such as `trainer: {{max_epochs: 2}}`. Correct it, "
            "or leave it out."
        )
    for kind, place in _entries(content, path):
        if kind == "requires":
            masking.require(place, path)
        if kind == "requires" or (kind == "fixed_masks" and masking.policy is None):
            continue
        included = Path(os.path.normpath(path.parent / place))
        included = included if included.is_file() else recipe(place) or included
        if not included.is_file():
            raise ConfigError(f"{path} includes {place}, but there is no file {included.absolute()}.")
        if included.resolve() in {parent.resolve() for parent in chain}:
            raise ConfigError(f"{' includes '.join(map(str, [*chain, included]))}: a file cannot include itself.")
        if included.resolve() in read:
            continue
        read.add(included.resolve())
        yield from ("--data", str(included)) if kind == "data" else _files(str(included), chain, read, masking)
    if content is not None:
        masking.read(content)
        masking.configs.append(path)
    yield from ("--config", name)


def _entries(content: Any, path: Path) -> Iterator[tuple[str, str]]:
    """Yields kind and value of every entry under `include`; the kind of a plain path is `config`."""
    entries = content.get("include", []) if isinstance(content, dict) else []
    for entry in entries if isinstance(entries, list) else [entries]:
        kind, value = next(iter(entry.items())) if isinstance(entry, dict) and len(entry) == 1 else ("config", entry)
        if kind not in ("config", "data", "requires", "fixed_masks") or not isinstance(value, str):
            raise ConfigError(
                f"{path} has {entry!r} under `include`; an entry is the path of a config file, {{data: FILE}}, "
                "{fixed_masks: FILE} or {requires: selection}."
            )
        yield kind, value


def _refuse_replaced_root(words: Sequence[str]) -> None:
    """Refuses a config with a model, such as a recipe, that replaces the root in a config of data alone before it."""
    data: tuple[Path, str] | None = None
    for flag, name in itertools.pairwise(words):
        path = Path(name)
        if flag != "--config" or not is_file(path) or (root := _root_in(path)) is None:
            continue
        if _has_data_alone(path):
            data = path, root
        elif data is not None and data[1] != root:
            raise ConfigError(
                f"{data[0]} names the images in {data[1]}, but {path}, which comes after it, those in {root}, and the "
                f"last one counts. Give --config {data[0]} last."
            )


def _root_in(path: Path) -> str | None:
    """Returns the folder of the images that a config names."""
    content = read_yaml(path)
    data = content.get("data") if isinstance(content, dict) else None
    options = data.get("init_args", data) if isinstance(data, dict) else None
    root = options.get("root") if isinstance(options, dict) else None
    return root if isinstance(root, str) else None
