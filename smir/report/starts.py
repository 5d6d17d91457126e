"""What a segmentation started from, as the record of its weights tells it; the name of an experiment proves nothing."""

from typing import Any

INITS = ("scratch", "imagenet", "random", "random-staged", "random-fixed", "selective", "selective-cross")
"""The rows of the paper's table and the two controls (METHOD.md sections 5 and 7)."""
VARIANTS = {
    **dict.fromkeys(("MixedMask", "RampMask", "ProportionalMask"), "selective"),
    "BlockMask": "random",
    "BlockMask-staged": "random-staged",
}
"""The row that another policy is a variant of, once `run.variant` says that it is one."""


def last_word(class_path: str) -> str:
    """Name of a class without its module."""
    return class_path.rsplit(".", 1)[-1]


def protocol_of(recipe: dict[str, Any]) -> str | None:
    """The protocol of a dataset that has one."""
    protocol: str | None = recipe["data"]["init_args"].get("protocol")
    return protocol


def masking_of(recipe: dict[str, Any]) -> str:
    """How a pretraining masked: `random`, `random-staged`, `random-fixed`, `selective`, or the policy's class.

    Args:
        recipe: Recipe of the pretraining.
    """
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
    """Names what a network started from: one of `INITS`, or what sets it apart from them.

    Args:
        recipe: Recipe of the run.
        weights: Fingerprint of the weights that it started from.
    """
    if weights["kind"] != "file":
        return str(weights["kind"])
    origin = weights.get("recipe")
    if origin is None:  # not of smir, or of a version that recorded the experiment alone
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
    """The variant of a run: its own and that of the pretraining behind it, if they differ."""
    words = dict.fromkeys(word for word in (weights.get("variant"), own) if word)
    return " + ".join(words) or None


def lineage(weights: dict[str, Any]) -> dict[str, Any]:
    """What seeds of one row must share of the weights they start from.

    With one pretraining for every seed the weights differ, and so do the seed, the commit and the file's hash; the
    recipe and the image lists behind them may not.
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
