"""The figures of `make bench` that depend on the machine."""

import pytest

from benchmarks import fit, loss, measure, scoring


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
