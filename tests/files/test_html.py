"""Templates escape their values, and are part of an installed smir."""

from importlib import resources

import pytest

from smir.classes import Classes
from smir.files.pages.html import _environment, prose
from smir.files.pages.svg import Drawing
from smir.inspect.parts import Cell

HOSTILE = "<script>alert('1')</script> & \"q\""


def test_prose_escapes_before_it_formats():
    assert prose("a `<b>` is -3 % of <i>") == "a <code>&lt;b&gt;</code> is \N{MINUS SIGN}3&nbsp;% of &lt;i&gt;"
    assert "<script" not in prose(HOSTILE)


@pytest.mark.parametrize("link", ["", HOSTILE])
@pytest.mark.parametrize("color", [(), (1, 2, 3)])
def test_names_of_classes_and_files_stay_text(link, color):
    parts = _environment("smir.inspect").get_template("parts.html").module
    classes = Classes([HOSTILE, "crop"], [(0, 0, 0), (1, 2, 3)])
    cell = Cell(HOSTILE, HOSTILE, link=link, color=color)
    for made in (
        parts.table([(HOSTILE, "text")], [[cell]]),
        parts.key(classes),
        parts.pictures({HOSTILE: "data:image/jpeg;base64,"}, HOSTILE),
        parts.facts({HOSTILE: HOSTILE}),
    ):
        assert "<script" not in made
        assert '"q"' not in made  # otherwise it would end an attribute
        assert "&lt;script&gt;" in made


def test_a_plot_escapes_its_title_and_its_texts():
    drawing = Drawing(100, HOSTILE)
    drawing.text(0, 0, HOSTILE)
    assert "<script" not in drawing.svg()
    assert drawing.svg().count("&lt;script&gt;") == 3  # heading, name for screen readers, text


@pytest.mark.parametrize(
    ("package", "names"),
    {
        "smir.files.pages": ["page.html", "page.css"],
        "smir.report": ["report.html"],
        "smir.inspect": ["inspect.html", "losses.html", "labels.html", "parts.html", "inspect.css", "sort.js"],
        "smir.export": ["card.md"],
    }.items(),
)
def test_templates_are_resources_of_their_packages(package, names):
    folder = resources.files(package) / "templates"
    assert sorted(entry.name for entry in folder.iterdir()) == sorted(names)
    for name in names:
        _environment(package).get_template(name)
