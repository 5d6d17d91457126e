"""Environment variables and files of other tools do not change a run."""

from compare_runs import content, difference
from surroundings import strew, surround
from words import segment_words


def test_files_and_variables_of_other_tools_do_not_change_a_new_run(smir, field, tmp_path, monkeypatch):
    words = segment_words(field, "--data.label_budget=4", "--run.test=false")
    smir(*words, "--run.experiment=alone")
    runs = tmp_path / "runs"
    strew(tmp_path, (runs / "alone/seed0/checkpoints/last.ckpt").read_bytes())
    before = {path for path in tmp_path.rglob("*") if path != runs and runs not in path.parents}
    with monkeypatch.context() as patch:
        surround(patch)
        smir(*words, "--run.experiment=among")
    assert difference(content(runs / "among/seed0"), content(runs / "alone/seed0")) is None
    assert {path for path in tmp_path.rglob("*") if path != runs and runs not in path.parents} == before
    assert sorted(path.name for path in runs.iterdir()) == ["alone", "among"]
