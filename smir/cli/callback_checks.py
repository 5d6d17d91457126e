"""Checks of the callbacks of a config against the model that they watch."""

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from smir.errors import ConfigError
from smir.training.task import SmirModule

_OWN_FILES = ("best", "last", "previous")
"""Names of the checkpoints that every run keeps."""
_BY_LIGHTNING = ["loss", "epoch", "step"]
"""Further values that callbacks can watch."""


def check_callback(callback: Callback, model: SmirModule, callbacks: list[Callback]) -> None:
    """Refuses a callback of the config that would stop at once, replace a checkpoint of smir, or watch nothing.

    Raises:
        ConfigError: For such a callback.
    """
    if (
        isinstance(callback, EarlyStopping)
        and callback.monitor == model.monitor
        and callback.mode != model.monitor_mode
    ):
        raise ConfigError(
            f"EarlyStopping watches {model.monitor} with mode {callback.mode}, but its {model.monitor_mode}imum is "
            f"best. Add --trainer.callbacks.mode {model.monitor_mode}."
        )
    if isinstance(callback, ModelCheckpoint) and callback.save_last and callback.dirpath is None:
        raise ConfigError(
            "ModelCheckpoint with save_last would replace last.ckpt of smir, which a resume needs. Leave save_last out."
        )
    if isinstance(callback, ModelCheckpoint) and callback.filename in _OWN_FILES and callback.dirpath is None:
        raise ConfigError(
            f"ModelCheckpoint with the filename {callback.filename} would replace {callback.filename}.ckpt of smir. "
            "Choose another name: --trainer.callbacks.filename NAME."
        )
    _check_monitor(callback, model, callbacks)


def _check_monitor(callback: Callback, model: SmirModule, callbacks: list[Callback]) -> None:
    """Refuses a callback that watches what the training does not log; other packages may log more."""
    monitor = getattr(callback, "monitor", None)
    own = all(type(each).__module__.partition(".")[0] in ("lightning", "smir") for each in (model, *callbacks))
    strict = not isinstance(callback, EarlyStopping) or callback.strict
    if not (own and strict) or monitor is None or monitor.startswith("lr-"):  # LearningRateMonitor logs `lr-Adam`
        return
    if monitor not in (logged := model.logged) + _BY_LIGHTNING:
        raise ConfigError(
            f"{type(callback).__name__} watches {monitor}, which this training does not log. It logs "
            f"{', '.join(logged)}. Choose one of them: --trainer.callbacks.monitor {model.monitor}."
        )
