"""Untrusted text in terminals, Markdown and CSV, and warnings that are hidden in several threads."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes import photo, save

from smir.__main__ import main
from smir.files.pages.csv_text import csv_text
from smir.files.pages.markdown import block, code, name, prose
from smir.terminal import quiet


def texts(caught):
    return [str(warning.message) for warning in caught]


@pytest.fixture
def caught():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def test_quiet_in_several_threads_restores_the_warning_filters(caught):
    first_in, second_in, first_out = (threading.Event() for _ in range(3))

    def first():
        with quiet():
            first_in.set()
            second_in.wait(0.5)  # the second thread enters now, unless it waits until this one leaves
        first_out.set()

    def second():
        first_in.wait(5)
        with quiet():
            second_in.set()
            first_out.wait(5)

    with ThreadPoolExecutor(2) as pool:
        for thread in [pool.submit(first), pool.submit(second)]:
            thread.result()
    warnings.warn("heard", stacklevel=1)
    assert texts(caught) == ["heard"]


def test_quiet_hides_only_the_given_kind_of_warning(caught):
    with quiet(UserWarning):
        warnings.warn("unheard", UserWarning, stacklevel=1)
        warnings.warn("heard", RuntimeWarning, stacklevel=1)
    assert texts(caught) == ["heard"]


def test_warnings_of_smir_are_lines_of_text(smir, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(2):
        save(tmp_path / f"photos/{number}.png", photo(f"image {number}", (300, 300)))
    (tmp_path / "photos/raw.dng").touch()
    with pytest.warns(UserWarning, match="are not read") as caught:
        smir("prepare", "folder", "--images=photos")
    heard = caught[0]
    said = warnings.formatwarning(heard.message, heard.category, heard.filename, heard.lineno)  # as Python shows them
    assert said.startswith("smir: warning: Pictures in ")
    assert said.count("\n") == 1
    assert ".py:7: UserWarning: other" in warnings.formatwarning("other", UserWarning, "elsewhere.py", 7)


def test_control_characters_in_names_are_escaped_in_the_terminal(capsys, tmp_path):
    evil = tmp_path / "a\x1b[2J\x1b]0;title\x07\r\x9b\u202eb"
    with pytest.raises(SystemExit):
        main(["report", str(evil)])
    print("plain\tü", evil.name)  # text that is printed later is escaped as well
    out, err = capsys.readouterr()
    for said in (out, err):
        assert r"a\x1b[2J\x1b]0;title\x07\r\x9b\u202eb" in said
        assert not any(character in said for character in "\x1b\x07\r\x9b\u202e")
    assert "plain\tü" in out
    for bar in ("\r 10%", "\x1b[A\x1b[A", "\n", "\x1b[34mblue"):
        print(bar, end="")
        assert capsys.readouterr().out == bar


def test_untrusted_text_is_escaped_in_markdown_and_csv():
    assert name("![x](http://a)\n# `b` <img src=c> | d") == r"!\[x\](http://a) \# \`b\` &lt;img src=c> \| d"
    assert prose("`--x 1` <b>") == "`--x 1` &lt;b>"
    assert code("a``b\n# c") == "``` a``b # c ```"
    assert block("a: |\n  ```\n  <b>", "yaml").startswith("````yaml\n")
    cells = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "-2.5 %", "-1e-05", "-", "a=b", -3, ""]
    assert csv_text([cells]) == ("'=1+1,'+cmd|' /C calc'!A0,'-2+3,'@SUM(A1),'\t=1,-2.5 %,-1e-05,-,a=b,-3,\n")
