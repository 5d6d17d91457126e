"""Early warnings if a pretraining goes wrong."""

from types import SimpleNamespace

import pytest
from words import pretrain_words, selective_words

from smir.data.reading import pairs
from smir.training import health, loading_time
from smir.training.reconstruction import ReconstructionModule


@pytest.fixture
def said(smir, field, caplog, monkeypatch, recwarn):
    """Returns a function that runs 2 stages of 3 epochs with given validation losses, and returns the warnings.

    Mean fill has a loss of 1, and interpolation a loss of 0.6.
    """
    original = ReconstructionModule.log

    def run(*losses, least_steps=0):
        def log(self, name, value, *args, **kwargs):
            chosen = {"val/loss": losses[self.trainer.current_epoch], "val/mean_fill": 1.0, "val/inpaint": 0.6}
            if name in chosen:
                value, kwargs["batch_size"] = chosen[name], 1
            original(self, name, value, *args, **kwargs)

        monkeypatch.setattr(ReconstructionModule, "log", log)
        monkeypatch.setattr(health, "LEAST_STEPS", dict.fromkeys(health.LEAST_STEPS, least_steps))
        with caplog.at_level("INFO"):
            smir(*selective_words(field, "--trainer.max_epochs=6"))
        assert not [w for w in recwarn if "no better" in str(w.message)]  # as a line, not as a warning of the code
        return [message for message in caplog.messages if "no better" in message]

    return run


def test_bad_validations_between_better_ones_cause_no_warning(said):
    assert said(0.5, 2.0, 0.5, 2.0, 0.5, 2.0) == []


def test_a_stage_that_is_never_better_than_mean_fill_causes_one_warning(said):
    (message,) = said(0.5, 0.4, 0.3, 2.0, 1.5, 1.5)
    assert message.startswith("Warning: epoch 5 of 6 (stage 2 of 2): the validation loss 1.500 is no better than the 1")
    assert "filling masked patches with the mean colour" in message


def test_a_network_no_better_than_interpolation_causes_a_warning(said):
    (message,) = said(0.9, 0.8, 0.7, 0.9, 0.5, 0.7)
    assert message.startswith(
        "Warning: epoch 2 of 6 (stage 1 of 2): the validation loss 0.800 is no better than the 0.600"
    )
    assert "no more than interpolation" in message


def test_a_training_of_few_steps_causes_no_warning(said):
    assert said(2.0, 2.0, 2.0, 2.0, 2.0, 2.0, least_steps=1000) == []


@pytest.mark.parametrize(("seconds", "told"), [(2, 1), (0, 0)])
def test_a_training_that_waits_for_its_images_suggests_the_cache(smir, field, caplog, monkeypatch, seconds, told):
    """On a simulated clock, reading an image takes a given number of seconds, and each step takes one."""
    clock = [0]
    step, read = ReconstructionModule.training_step, pairs.read_image

    def taking(time, work):
        def worked(*given):
            clock[0] += time
            return work(*given)

        return worked

    monkeypatch.setattr(loading_time, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(loading_time, "LEAST", 2)
    monkeypatch.setattr(ReconstructionModule, "training_step", taking(1, step))
    monkeypatch.setattr(pairs, "read_image", taking(seconds, read))
    smir(*pretrain_words(field, "--trainer.max_epochs=2", "--data.batch_size=2"))
    assert sum("--data.cache true keeps them decoded" in message for message in caplog.messages) == told
