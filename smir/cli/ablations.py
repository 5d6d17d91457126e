"""The masking that the configs of a command ask for. An ablation may change it, but not turn one arm into another."""

from pathlib import Path
from typing import Any

from smir.errors import ConfigError

_NEEDS = {
    "selection": ("changes how masks are selected", "select no masks by their scores", "selective.yaml"),
    "stages": ("changes the stages of a pretraining", "have no stages", "selective.yaml or random-staged.yaml"),
}
"""Words after `requires`: what the file does, what the configs before it lack, and rows that have it."""


class Masking:
    """The masking that the configs read so far ask for.

    Attributes:
        configs: The files, included ones too.
        stages: True if they have SelectiveMasking, which every staged row has.
        policy: Class of the policy that fixes its masks, without package; None if every visit draws a random mask.
    """

    def __init__(self) -> None:
        self.configs: list[Path] = []
        self.stages = False
        self.policy: str | None = None

    @property
    def selects(self) -> bool:
        """True if masks are chosen by scores."""
        return self.policy not in (None, "RandomMask", "BlockMask")

    def read(self, config: Any) -> None:
        """Reads a config, which the parser will merge into those before it."""
        trainer = config.get("trainer") if isinstance(config, dict) else None
        if not isinstance(trainer, dict) or "callbacks" not in trainer:
            return
        callbacks = trainer["callbacks"] if isinstance(trainer["callbacks"], list) else [trainer["callbacks"]]
        entries = [entry if isinstance(entry, dict) else {"class_path": entry} for entry in callbacks]
        staged = [entry for entry in entries if str(entry.get("class_path")).endswith("SelectiveMasking")]
        options = [entry.get("init_args") for entry in staged]
        if not staged or not self.stages:
            self.policy = "HardestMask" if staged else None
        self.stages = bool(staged)
        for given in options:
            if isinstance(given, dict) and "policy" in given:
                policy = given["policy"]
                name = policy.get("class_path", self.policy) if isinstance(policy, dict) else policy
                self.policy = name and str(name).rpartition(".")[2]

    def require(self, need: Any, path: Path) -> None:
        """Refuses a file on top of configs without what it changes.

        Raises:
            ConfigError: If they lack it, or `need` is unknown.
        """
        if need not in _NEEDS:
            raise ConfigError(f"{path} requires {need!r}; a file may require {' or '.join(_NEEDS)}.")
        if not (self.selects if need == "selection" else self.stages):
            does, lack, rows = _NEEDS[need]
            raise ConfigError(
                f"{path} {does}, but the configs before it ({', '.join(map(str, self.configs)) or 'none'}) {lack}. Put "
                f"it on top of a row that has them, such as experiments/nassar/{rows}."
            )
