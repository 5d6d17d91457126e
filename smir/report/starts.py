"""Names what a segmentation started from by the record of its weights, not by the experiment's name."""

from typing import Any

INITS = ("scratch", "imagenet", "random", "random-staged", "random-fixed", "selective", "selective-cross")
"""The rows of the paper's table and the two controls (METHOD.md sections 5 and 7)."""
VARIANTS = {
    **dict.fromkeys(("MixedMask", "RampMask", "ProportionalMask"), "selective"),
    "BlockMask": "random",
    "BlockMask-staged": "random-staged",
}
"""The row that another policy is a variant of, in runs with `run.variant`."""


def last_word(class_path: str) -> str:
    """Name of a class without its module."""
    return class_path.rsplit(".", 1)[-1]


def protocol_of(recipe: dict[str, Any]) -> str | None:
    """Returns the protocol of a dataset, if it has one."""
    protocol: str | None = recipe["data"]["init_args"].get("protocol")
    return protocol


def masking_of(recipe: dict[str, Any]) -> str:
    """Names how a pretraining masked: `random`, `random-staged`, `random-fixed`, `selective`, or the policy's class."""
    drawn = last_word(recipe["data"]["init_args"]["mask"]["class_path"])
    staged = [entry for entry in recipe["callbacks"] if last_word(entry["class_path"]) == "SelectiveMasking"]
    if not staged:
        return "random" if drawn == "RandomMask" else drawn
    policy = staged[0]["init_args"]["policy"]
    if policy is None:
        return "random-staged" if drawn == "RandomMask" else f"{drawn}-staged"
    name = last_word(policy["class_path"])
    return {"RandomMask": "random-fixed", "HardestMask": "selective"}.get(name, name)


def init_of(recipe: dict[str, Any], weights: dict[str, Any]) -> str:
    """Names what a run started from: one of `INITS`, or how it differs from them."""
    if weights["kind"] != "file":
        return str(weights.get("name") or weights["kind"])
    origin = weights.get("recipe")
    if origin is None:  # not a file of smir, or of a version that recorded only the experiment
        return f"weights of {weights.get('experiment') or weights['checkpoint']}"
    if origin["data"]["init_args"]["task"] != "pretrain":
        return f"segmentation of {weights['experiment']}"
    name = masking_of(origin)
    if weights.get("variant"):
        name = VARIANTS.get(name, name)
    if origin["data"]["class_path"] != recipe["data"]["class_path"]:
        name += "-cross"
    elif protocol_of(origin) != protocol_of(recipe):
        name += f" (pool of protocol {protocol_of(origin)})"
    before = weights["inputs"]["weights"]
    if before["kind"] != "scratch":
        name += f" after {init_of(origin, before)}"
    return f"{name} (unfinished)" if weights.get("unfinished") else name


def variant_of(own: str | None, weights: dict[str, Any]) -> str | None:
    """Returns the variant of a run and that of the pretraining behind it, once if they are the same."""
    words = dict.fromkeys(word for word in (weights.get("variant"), own) if word)
    return " + ".join(words) or None


def lineage(weights: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of a weights record that all seeds of one row must share.

    With one pretraining for every seed, weights, seed, commit and the file's hash may differ; recipe and image lists
    may not.
    """
    if weights["kind"] != "file":
        return weights
    shared = {name: weights[name] for name in ("kind", "checkpoint")}
    if weights.get("unfinished"):
        shared["unfinished"] = True
    if "recipe" not in weights:
        return {**shared, "run_hash": weights["run_hash"]} if "run_hash" in weights else weights
    inputs = weights["inputs"]
    return {
        **shared,
        "recipe": weights["recipe"],
        "inputs": {"data": inputs["data"], "weights": lineage(inputs["weights"])},
    }
