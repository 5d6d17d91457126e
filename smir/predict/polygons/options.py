"""The options of `predict` for polygons."""

import dataclasses
import math
import re
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec

from smir.classes import Classes, is_background
from smir.errors import ConfigError

ANNOTATIONS, MAPS = ("coco", "cvat", "labelme"), ("gpkg", "geojson")


def named_formats(text: str, known: Sequence[str]) -> list[str]:
    """Returns the formats that the text of `--formats` names, each once.

    Raises:
        ConfigError: If one of them is not known.
    """
    named = list(dict.fromkeys(re.findall(r"[^\s,\[\]'\"]+", text)))
    if unknown := [name for name in named if name not in known]:
        raise ConfigError(f"--formats knows {', '.join(known)}; got {', '.join(unknown)}.")
    return named


@dataclasses.dataclass(frozen=True)
class PolygonOptions:
    """Formats and details of the polygons that `predict` writes.

    Args:
        formats: Any of coco, cvat, labelme, gpkg and geojson, with commas between them.
        simplify: Tolerance in pixels: a pixel farther than this from every border keeps its region. 0: exact outlines.
        min_area: Regions and holes of fewer pixels are left out.
        background: Class without polygons; default: the one called background, else the first. `none`: no class.
    """

    formats: str = ""
    simplify: float = 1.0
    min_area: int = 0
    background: str | None = None

    def __post_init__(self) -> None:
        needed = {"rasterio": self.wanted, "shapely": self.wanted, "pyogrio": "gpkg" in self.wanted}
        if not 0 <= self.simplify < math.inf:
            raise ConfigError(f"--simplify is a tolerance in pixels, 0 or more; got {self.simplify}.")
        if self.min_area < 0:
            raise ConfigError(f"--min_area is a number of pixels, 0 or more; got {self.min_area}.")
        if missing := [package for package, needs in needed.items() if needs and find_spec(package) is None]:
            raise ConfigError(
                f"--formats {self.formats} needs {' and '.join(missing)}, which this Python lacks: "
                "pip install 'smir[polygons]'."
            )

    def refuse_useless(self) -> None:
        """Raises a ConfigError if an option is set that only matters for polygons, and none are wanted."""
        if not self.wanted and (self.simplify != PolygonOptions.simplify or self.background is not None):
            raise ConfigError(
                "--simplify and --background are for polygons, and no --formats are named: "
                f"{', '.join(ANNOTATIONS + MAPS)}."
            )

    @cached_property
    def wanted(self) -> list[str]:
        """The names of the formats."""
        return named_formats(self.formats, ANNOTATIONS + MAPS)

    def background_of(self, classes: Classes) -> int | None:
        """Returns the id of the class without polygons.

        Raises:
            ConfigError: If there is no such class.
        """
        if self.background is None:
            return next((place for place, name in enumerate(classes.names) if is_background(name)), 0)
        if self.background in classes.names:
            return classes.names.index(self.background)
        if self.background == "none":
            return None
        raise ConfigError(
            f"--background {self.background} names none of the network's classes: {', '.join(classes.names)}. For "
            "polygons of every class: --background none"
        )
