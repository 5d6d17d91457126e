"""What a pretraining says of itself while there is time to stop it."""

import pytest
from words import selective_words

from smir.training.reconstruction import ReconstructionModule


@pytest.fixture
def said(smir, field, caplog, monkeypatch, recwarn):
    """Runs 2 stages of 3 epochs with chosen validation losses and a mean colour's of 1; returns what is said."""
    original = ReconstructionModule.log

    def run(*losses):
        def log(self, name, value, *args, **kwargs):
            if name in ("val/loss", "val/mean_fill_loss"):
                value = losses[self.trainer.current_epoch] if name == "val/loss" else 1.0
                kwargs["batch_size"] = 1
            original(self, name, value, *args, **kwargs)

        monkeypatch.setattr(ReconstructionModule, "log", log)
        with caplog.at_level("INFO"):
            smir(*selective_words(field, "--trainer.max_epochs=6"))
        assert not [w for w in recwarn if "no better" in str(w.message)]  # as a line, not as a warning of the code
        return [message for message in caplog.messages if "no better" in message]

    return run


def test_one_bad_validation_among_better_ones_is_no_failure(said):
    assert said(0.5, 2.0, 0.5, 2.0, 0.5, 2.0) == []


def test_a_stage_that_never_was_better_is_told_once(said):
    (message,) = said(0.5, 0.4, 0.3, 2.0, 1.5, 1.5)
    assert message.startswith("Warning: epoch 5 of 6 (stage 2 of 2): the validation loss 1.500 is no better than the 1")
