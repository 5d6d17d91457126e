"""`include:` in a config file: what is read before it. So a row of `experiments/` says only where it differs.

```yaml
include: [{data: ../data/nassar.yaml}, ../base/pretrain.yaml]
```

An entry is a config file, or `{data: FILE}` for what `--data FILE` is on the command line. Paths are relative to the
file that names them. A file that several others include is read once, at its first place.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from smir.cli.trust import read_yaml
from smir.errors import ConfigError

_CONFIG = ("--config", "-c")


def expand_includes(words: Sequence[str]) -> list[str]:
    """Puts what a config file includes in front of it, so that the parser merges all of it from left to right.

    Args:
        words: Command line; `--config FILE` may occur several times.

    Returns:
        The command line with a `--config` or `--data` for every included file.

    Raises:
        ConfigError: If a file is no YAML, an included one is not there or includes itself, or an entry is of neither
            kind.
    """
    expanded: list[str] = []
    end = words.index("--") if "--" in words else len(words)  # what follows is the command of a job
    rest = iter(words[:end])
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag == "--include":
            raise ConfigError("`include` is a key of config files. On the command line, repeat --config.")
        if flag not in _CONFIG:
            expanded.append(word)
            continue
        if not equals and (value := next(rest, "")) == "":
            expanded.append(word)
            continue
        read: set[Path] = set()
        for option, path in _files(value, [], read):
            expanded += [option, path]
    return [*expanded, *words[end:]]


def _files(name: str, within: list[Path], read: set[Path]) -> Iterator[tuple[str, str]]:
    """Yields option and path of every file to read, the included ones first."""
    path = Path(name)
    for entry in _entries(path) if _is_file(path) else ():
        option, place = ("--data", entry["data"]) if isinstance(entry, dict) else ("--config", entry)
        included = Path(os.path.normpath(path.parent / place))
        chain = [*within, path]
        if not included.is_file():
            raise ConfigError(f"{path} includes {place}, but there is no file {included.absolute()}.")
        if included.resolve() in {parent.resolve() for parent in chain}:
            raise ConfigError(f"{' includes '.join(map(str, [*chain, included]))}: a file cannot include itself.")
        if included.resolve() in read:
            continue
        read.add(included.resolve())
        if option == "--data":
            yield option, str(included)
        else:
            yield from _files(str(included), chain, read)
    yield "--config", name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a config given as YAML text may be too long for a path
        return False


def _entries(path: Path) -> list[str | dict[str, str]]:
    content = read_yaml(path)
    entries = content.get("include", []) if isinstance(content, dict) else []
    entries = entries if isinstance(entries, list) else [entries]
    for entry in entries:
        if not isinstance(entry, str) and not (
            isinstance(entry, dict) and set(entry) == {"data"} and isinstance(entry["data"], str)
        ):
            raise ConfigError(
                f"{path} has {entry!r} under `include`; an entry is the path of a config file, or {{data: FILE}}."
            )
    return entries
