"""The kinds of values that the records of a run hold, as far as a report reads them."""

from collections.abc import Iterator
from types import UnionType
from typing import Any, TypeAlias

Kinds: TypeAlias = "type | UnionType | dict[str, Kinds]"
"""Allowed types of an entry; a dict has those of the entries of an object."""

_CLASS: Kinds = {"class_path": str}
_IMAGES: Kinds = {"images": int, "names": str}
_RECIPE: Kinds = {
    "data": {
        "class_path": str,
        "init_args": {
            "task": str,
            "protocol": str | None,
            "label_budget": int | float | None,
            "split_seed": int | None,
            "budget_seed": int | str | None,
            "crop_size": int | None,
            "mask": _CLASS,
        },
    },
    "trainer": {"max_epochs": int},
    "callbacks": list,
}
_WEIGHTS: dict[str, Kinds] = {
    "kind": str,
    **dict.fromkeys(("name", "experiment", "variant", "commit", "sha256", "checkpoint", "run_hash"), str | None),
    **dict.fromkeys(("seed", "image_visits"), int | None),
    "recipe": _RECIPE,
}
_INPUTS: Kinds = {
    "data": {"pool": _IMAGES, "train": _IMAGES, "val": _IMAGES, "test": _IMAGES},
    "weights": _WEIGHTS,
}
_WEIGHTS["inputs"] = _INPUTS  # of the run that wrote them

RUN: Kinds = {"hash": str, "experiment": str, "seed": int, "recipe": _RECIPE, "inputs": _INPUTS}
START: Kinds = {"commit": str, "command": str}
SUMMARY: Kinds = {"epochs": int, "image_visits": int}


def wrong_entries(value: Any, kinds: Kinds, name: str = "") -> Iterator[str]:
    """Yields the names of entries of another kind, as `recipe.trainer.max_epochs`; missing ones are not wrong."""
    if isinstance(kinds, dict):
        if not isinstance(value, dict):
            yield name or "the whole of it"
            return
        for key, kind in kinds.items():
            if key in value:
                yield from wrong_entries(value[key], kind, f"{name}.{key}".lstrip("."))
    elif isinstance(value, bool) or not isinstance(value, kinds):
        yield name
