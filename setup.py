"""Puts the recipes of `experiments/` into the wheel, for `smir.cli.recipes`. All else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRecipes(build_py):
    """Copies the recipes beside the modules; an editable installation reads those of the checkout."""

    def run(self) -> None:
        """Builds the modules, then copies."""
        super().run()
        if not self.editable_mode:
            for path in Path("experiments").rglob("*.yaml"):
                target = Path(self.build_lib, "smir", path)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)


setup(cmdclass={"build_py": BuildWithRecipes})
