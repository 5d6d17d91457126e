"""The finished regions of an image, in a file from which every format is written: memory never holds all of them."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path

from shapely.geometry import Polygon

from smir.classes import VOID, Classes
from smir.predict.polygons.options import ANNOTATIONS, PolygonOptions
from smir.predict.polygons.outlines import Ring, outlines, rings
from smir.predict.regions import Region, Regions

VOID_NAME = "void"


@dataclasses.dataclass(frozen=True)
class Outlined:
    """A region with its outline.

    Attributes:
        class_id: Its class, or void.
        pixels: Its pixels, before the outline was simplified.
        confidence: Mean probability of its class over these pixels; None if it is not known.
        square_metres: Its area on the ground, if that is known.
        rings: Corners x, y of the outline, then of each hole.
    """

    class_id: int
    pixels: int
    confidence: float | None
    square_metres: float | None
    rings: list[Ring]

    @classmethod
    def of(cls, region: Region, rings: list[Ring], on_ground: bool) -> "Outlined":
        """Takes the figures of a region; a certainty of 0 means void, or not known."""
        confidence = round(region.certainty / region.pixels, 4) or None
        square_metres = round(region.square_metres, 6) if on_ground else None
        return cls(region.class_id, region.pixels, confidence, square_metres, rings)

    @cached_property
    def polygon(self) -> Polygon:
        """The outline with its holes."""
        return Polygon(self.rings[0], self.rings[1:])

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, width and height."""
        left, top, right, bottom = map(int, self.polygon.bounds)
        return left, top, right - left, bottom - top

    @property
    def needs_mask(self) -> bool:
        """True if one plain outline is not enough: around holes, or between 0 and 1, which readers take for shares."""
        return len(self.rings) > 1 or max(self.polygon.bounds) <= 1

    def name(self, classes: Classes) -> str:
        """Name of its class."""
        return VOID_NAME if self.class_id == VOID else classes.names[self.class_id]


@dataclasses.dataclass(frozen=True)
class ImageRegions:
    """The regions of an image; `source` holds them, or is the file that keeps them."""

    image: str
    height: int
    width: int
    source: Path | Iterable[Outlined]

    def __iter__(self) -> Iterator[Outlined]:
        """Yields one region after the other."""
        if not isinstance(self.source, Path):
            yield from self.source
            return
        with self.source.open("rb") as lines:
            for line in lines:
                yield Outlined(*json.loads(line))


def outlined_regions(
    size: tuple[int, int],
    options: PolygonOptions,
    classes: Classes,
    take: Callable[[Outlined], object],
    on_ground: bool = False,
    count: Callable[[Region], object] = lambda region: None,
) -> Regions:
    """Finds regions with their outlines in an image of some height and width, as the options say.

    `take` gets each complete region that becomes a polygon, and `count` each one, also of the background. `on_ground`:
    square metres are known.
    """
    not_labelled = () if set(ANNOTATIONS) & set(options.wanted) else (VOID,)

    def finish(region: Region) -> None:
        count(region)
        if region.outlines and region.pixels >= options.min_area:
            take(Outlined.of(region, rings(region.outlines, options.min_area), on_ground))

    outline = partial(outlines, tolerance=options.simplify)
    return Regions(*size, finish, outline, {options.background_of(classes), *not_labelled})


def line_of(region: Outlined) -> bytes:
    """Returns a region as a line of the file."""
    fields = [getattr(region, field.name) for field in dataclasses.fields(region)]  # astuple would copy every corner
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"
