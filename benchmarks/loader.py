"""Images per second out of the loader: decoding every time, through the cache, and with nothing to read at all."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from torch.utils.data import DataLoader

from benchmarks.datasets import CITYSCAPES, VOC, pool, write_images
from benchmarks.measure import Row, Times
from benchmarks.plain import decode
from smir.classes import UInt8
from smir.data.reading.cache import Cached
from smir.data.reading.pairs import Images

ROUNDS, WARM_UP, BATCH = 9, 3, 32
IN_MEMORY = 128
"""Images of the baseline that reads nothing: more than fit into a processor's cache, as in any dataset."""
KINDS = {
    # size, suffix, images, links to each, batches timed with decoding and without, goal
    "Cityscapes-sized PNG (2048 x 1024)": (CITYSCAPES, ".png", 8, 96, 1, 12, 10),
    "VOC-sized JPEG (500 x 375)": (VOC, ".jpg", 16, 60, 8, 20, 2),
}


class Plain(Images):
    """Decodes the whole file at every visit."""

    def read_with_size(self, index: int) -> tuple[UInt8, tuple[int, int]]:
        """See `Images`."""
        image = decode(self.files.path(index))
        return image, image.shape[:2]


class InMemory(Images):
    """Has its images in memory, so that only the augmentation is timed."""

    images: list[Cached]

    def read_with_size(self, index: int) -> tuple[UInt8, tuple[int, int]]:
        """See `Images`."""
        return self.images[index % len(self.images)]


def rows() -> Iterator[Row]:
    """The figures of the loader."""
    for name, (size, suffix, different, copies, slow, fast, goal) in KINDS.items():
        with tempfile.TemporaryDirectory(prefix="smir-bench-") as folder:
            root = Path(folder, "data")
            write_images(root, size, suffix, different, copies)
            data = pool(root, BATCH, cache=True, cache_folder=Path(folder, "cache"), num_workers=1)
            assert data.cache is not None
            data.cache.room.hold()
            through_cache = Images(data.images("pool"), data.min_side, data.cache)
            for index in range(len(through_cache.files)):
                through_cache.read(index)
            memory = InMemory(through_cache.files, data.min_side)
            memory.images = [Cached(*through_cache.read_with_size(index)) for index in range(IN_MEMORY)]
            sources = {"plain": Plain(through_cache.files, data.min_side), "cache": through_cache, "memory": memory}
            rates: dict[str, list[float]] = {source: [] for source in sources}
            for _ in range(ROUNDS):
                for source, images in sources.items():
                    data._pool = lambda images=images: images  # type: ignore[method-assign]  # changes only the source
                    rates[source].append(_rate(data.train_dataloader, slow if source == "plain" else fast))
        times = Times(rates)
        note = ", ".join(f"{source} {times.median(source):.0f}" for source in sources) + " images/s with 1 worker"
        value, spread = times.ratio("cache", "plain")
        yield Row(
            f"loader, {name}, times as fast as decoding each time", "cpu", value, goal, "at least", "x", spread, note
        )
        value, spread = times.ratio("cache", "memory")
        yield Row(
            f"loader, {name}, speed over that of the augmentations alone", "cpu", value, 0.8, "at least", "x", spread
        )


def _rate(make: Callable[[], DataLoader[object]], batches: int) -> float:
    """Images per second, once the worker runs at its own pace."""
    loader = make()
    iterator = iter(loader)
    for _ in range(WARM_UP):
        next(iterator)
    start = time.perf_counter()
    for _ in range(batches):
        next(iterator)
    return batches * (loader.batch_size or 1) / (time.perf_counter() - start)
