"""API pages: which modules stand together. Every public module is on one of them."""

from collections.abc import Sequence

from website.repository import ROOT

GROUPS = {
    "method": ("The method", "method"),
    "models": ("Networks", "models"),
    "training": ("Training", "training"),
    "data": ("Data", "data"),
    "prepare": ("Preparing data", "prepare"),
    "predict": ("Images of any size", "predict"),
    "choose": ("Choosing images", "choose"),
    "inspect": ("Inspection", "inspect"),
    "export": ("Export", "export"),
    "report": ("Reports", "report"),
    "runs": ("Runs", "runs"),
    "cli": ("Command line", "cli"),
    "root": ("Files, pages and errors", "files terminal classes seeding errors"),
}
"""Page, title, and modules or packages below `smir`. Any other module gets a page by its name."""


def pages() -> dict[str, str]:
    """Returns the text of every page by its path."""
    grouped = {top for _, tops in GROUPS.values() for top in tops.split()}
    rest = {top: (top.capitalize(), top) for top in _top_level() if top not in grouped}
    made = {f"api/{name}.md": _page(title, tops.split()) for name, (title, tops) in {**GROUPS, **rest}.items()}
    return {"api/index.md": _index(made), **made}


def _top_level() -> list[str]:
    names = [path.stem for path in sorted((ROOT / "smir").iterdir()) if path.suffix == ".py" or path.is_dir()]
    return [name for name in names if not name.startswith("_")]


def _modules(top: str) -> list[str]:
    """Dotted names of a module, or of a package and all below it."""
    folder = ROOT / "smir" / top
    if not folder.is_dir():
        return [f"smir.{top}"]
    below = [path.relative_to(ROOT).with_suffix("") for path in sorted(folder.rglob("*.py")) if path.stem[0] != "_"]
    return [".".join(path.parts) for path in below]


def _page(title: str, tops: Sequence[str]) -> str:
    modules = [module for top in tops for module in _modules(top)]
    return "\n".join([f"# {title}", "", *(f"::: {module}" for module in modules), ""])


def _index(made: dict[str, str]) -> str:
    lines = [
        "# API",
        "",
        "The public functions and classes, by what they are for. Every heading links to its source.",
        "",
    ]
    for path, text in made.items():
        title = text.splitlines()[0].removeprefix("# ")
        modules = [line.removeprefix("::: ") for line in text.splitlines() if line.startswith("::: ")]
        links = ", ".join(f"[`{module}`]({path.removeprefix('api/')}#{module})" for module in modules)
        lines += [f"**{title}**: {links}", ""]
    return "\n".join(lines)
