"""The figures of `make bench` that depend on the machine, and the trainings that it times."""

import sys

import pytest

from benchmarks import fit, loss, measure, processes, scoring
from smir.cli.command_line import ParsedCLI, run_cli
from smir.cli.guarded import trust_only
from smir.cli.trust import take_allowed


@pytest.fixture
def without_bfloat16(monkeypatch):
    """A processor without instructions for bfloat16, on which a step takes many times as long."""
    monkeypatch.setattr("smir.cli.precision._processor_flags", lambda: {"avx2"})


def test_figures_in_bfloat16_are_left_out_with_the_reason_where_it_is_not_native(without_bfloat16, monkeypatch):
    assert measure.why_not("cpu") is None
    monkeypatch.setattr(loss, "SIZE", 192)
    share, difference = loss.rows("cpu")
    assert share.value is None
    assert share.note == "not measured here: no instructions for bfloat16"
    assert difference.value < 1e-5


def test_every_precision_has_its_figures_where_bfloat16_is_native(monkeypatch):
    monkeypatch.setattr("smir.cli.precision._processor_flags", lambda: {"amx_bf16"})
    assert measure.why_not("cpu", "bfloat16") is None


@pytest.mark.parametrize("part", [scoring, fit, loss])
def test_a_part_for_gpus_has_the_same_rows_without_one(monkeypatch, part):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    rows = list(part.rows("cuda"))
    assert rows
    assert all(row.value is None and row.note == "not measured here: no GPU" for row in rows)


def test_fit_accepts_the_trainings_that_are_timed(monkeypatch, tmp_path):
    class Asked(Exception):
        pass

    def ask(words, **_):
        raise Asked(words)

    monkeypatch.setattr(fit, "write_images", lambda *_: None)
    monkeypatch.setattr(fit, "main", ask)
    monkeypatch.setattr(processes.subprocess, "run", lambda command, **_: ask(command[3:]))
    for begin in (lambda: next(fit.rows("cpu")), lambda: processes._step(str(tmp_path), 1)):
        with pytest.raises(Asked) as asked:
            begin()
        words, packages = take_allowed(asked.value.args[0])
        trust_only(packages)
        run_cli(words, ParsedCLI)


def test_an_error_of_a_timed_training_is_shown(monkeypatch):
    def refuse(words):
        print("smir: error: a setting is refused.", file=sys.stderr)
        raise SystemExit(1)

    monkeypatch.setattr(fit, "write_images", lambda *_: None)
    monkeypatch.setattr(fit, "main", refuse)
    with pytest.raises(RuntimeError, match="a setting is refused"):
        next(fit.rows("cpu"))
