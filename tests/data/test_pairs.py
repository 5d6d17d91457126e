from collections import Counter
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from smir.data.reading.file_list import FileList
from smir.data.reading.label_values import class_ids
from smir.data.reading.pairs import Images, LabelledCrops, Labels, MaskedCrops, WholeViews
from smir.data.reading.samplers import Visit
from smir.data.reading.transforms import CropTransform, TrainTransform
from smir.errors import DataError, SmirError
from smir.method.mask_table import MaskTable
from smir.method.masking import RandomMask
from smir.method.patches import PatchGrid
from smir.method.preprocessing import Preprocessing

CROP = 192
PREPROCESSING = Preprocessing(view_size=CROP)
DARK, BRIGHT = 40, 200  # far enough apart to be distinguished after any colour jitter
SIZES = [(256, 384), (300, 210), (192, 192), (400, 410)]


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def images(root, min_side=CROP):
    return Images(FileList(root, sorted(path.name for path in root.glob("*.png"))), min_side)


def pairs(root, decoder=lambda stored, path: class_ids(stored, path, 3)):
    pool = images(root / "images", 1)
    return Labels(pool, FileList(root / "labels", list(pool.files)), decoder)


@pytest.fixture
def pool(tmp_path):
    """Textured photos of different sizes."""
    chance = np.random.default_rng(0)
    for number, (height, width) in enumerate(SIZES):
        noise = chance.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
        save(tmp_path / f"{number}.png", cv2.resize(noise, (width, height)))
    return tmp_path


def equal(left, right):
    if left.keys() != right.keys():
        return False
    return all(torch.equal(torch.as_tensor(value), torch.as_tensor(right[name])) for name, value in left.items())


def away_from_borders(regions):
    """Returns the pixels whose 3 x 3 neighbourhood is in one region."""
    kernel = np.ones((3, 3), np.uint8)
    regions = regions.astype(np.uint8)
    return cv2.erode(regions, kernel) == cv2.dilate(regions, kernel)


# Determinism


def fixed_mask(height, width, seed=0):
    """Returns a mask for the view of an image of this size, its grid and its patches."""
    grid = PREPROCESSING.grid(*PREPROCESSING.view_shape(height, width))
    patches = torch.randperm(len(grid), generator=torch.Generator().manual_seed(seed)) < len(grid) // 2
    return MaskTable.pack([0], [grid], [patches], PREPROCESSING.num_patches).packed(0), grid, patches


def all_visits():
    random = [Visit(index, seed) for index in range(len(SIZES)) for seed in (5, 2**62 + 1)]
    return random + [Visit(index, 9, fixed_mask(*size)[0], 0.0) for index, size in enumerate(SIZES)]


@pytest.mark.parametrize("transform", [TrainTransform(CROP), CropTransform(CROP, PREPROCESSING)], ids=["train", "val"])
def test_a_visit_gives_the_same_sample_in_any_order_of_reading(pool, transform):
    dataset = MaskedCrops(images(pool), transform, RandomMask(), PREPROCESSING)
    visits = all_visits()
    first = [dataset[visit] for visit in visits]
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002  # a library may draw from it
    again = {place: dataset[visits[place]] for place in reversed(range(len(visits)))}
    assert all(equal(sample, again[place]) for place, sample in enumerate(first))
    for visit, sample in zip(visits, first, strict=True):
        assert sample["image"].shape == (3, CROP, CROP)
        assert sample["image"].dtype == torch.uint8
        assert sample["mask"].shape == (1, CROP, CROP)
        assert sample["mask"].dtype == torch.bool
        assert (sample["index"], sample["weight"]) == (visit.index, visit.weight)


def single(samples):
    return samples[0]


def test_a_visit_gives_the_same_sample_in_any_worker(pool):
    dataset = MaskedCrops(images(pool), TrainTransform(CROP), RandomMask(), PREPROCESSING)
    visits = all_visits()
    loader = DataLoader(dataset, sampler=visits, num_workers=2, collate_fn=single)
    assert all(equal(dataset[visit], sample) for visit, sample in zip(visits, loader, strict=True))


def test_other_seeds_give_other_crops_and_masks(pool):
    dataset = MaskedCrops(images(pool), TrainTransform(CROP), RandomMask(), PREPROCESSING)
    samples = [dataset[Visit(0, seed)] for seed in (11, 12, 12 + 2**40)]
    for left, right in [(0, 1), (0, 2), (1, 2)]:
        assert not torch.equal(samples[left]["image"], samples[right]["image"])
        assert not torch.equal(samples[left]["mask"], samples[right]["mask"])


def test_flips_and_colour_changes_are_drawn_independently():
    image = np.full((CROP, CROP, 3), (180, 120, 60), dtype=np.uint8)
    side = np.repeat(np.arange(CROP, dtype=np.uint8)[None], CROP, axis=0)  # grows to the right, unless flipped
    counts = Counter()
    for seed in range(200):
        crop, cut = TrainTransform(CROP)(image, side, seed)
        counts[bool(cut[0, 0] > cut[0, -1]), bool((crop != image).any())] += 1
    assert min(counts[flipped, jittered] for flipped in (False, True) for jittered in (False, True)) > 25


# Masks


def test_a_random_mask_is_drawn_on_the_grid_of_the_crop(pool):
    dataset = MaskedCrops(images(pool), TrainTransform(CROP), RandomMask(0.3), PREPROCESSING)
    grid = PatchGrid(CROP, CROP)
    for seed in range(4):
        mask = dataset[Visit(1, seed)]["mask"][0]
        inside = [mask[top:bottom, left:right] for top, left, bottom, right in grid.boxes.tolist()]
        assert all(cut.all() or not cut.any() for cut in inside)
        assert sum(bool(cut.all()) for cut in inside) == int(0.3 * len(grid))


def spread(grid, patches, height, width):
    """Spreads a mask over a source image: a pixel gets the patch of the view that its centre lies in."""

    def strips(length, edges):
        centres = [Fraction(2 * pixel + 1, 2 * length) * edges[-1] for pixel in range(length)]
        return [sum(edge <= centre for edge in edges[1:-1]) for centre in centres]

    return patches.reshape(grid.rows, grid.cols).numpy()[
        np.ix_(strips(height, grid.row_edges), strips(width, grid.col_edges))
    ]


@pytest.mark.parametrize("kind", ["train", "val"])
@pytest.mark.parametrize("size", [*SIZES, (150, 230)])
def test_a_fixed_mask_hides_the_chosen_content(tmp_path, size, kind):
    # The source is bright exactly where its patch is masked. So, for any crop, flip and resize, the masked pixels
    # of the sample must be the bright ones.
    packed, grid, patches = fixed_mask(*size, seed=size[0])
    chosen = spread(grid, patches, *size)
    save(tmp_path / "0.png", np.repeat(np.where(chosen, BRIGHT, DARK).astype(np.uint8)[..., None], 3, axis=-1))
    transform = TrainTransform(CROP) if kind == "train" else CropTransform(CROP, PREPROCESSING)
    dataset = MaskedCrops(images(tmp_path, 1), transform, RandomMask(), PREPROCESSING)
    crops = set()
    for seed in range(12 if kind == "train" else 1):
        sample = dataset[Visit(0, seed, packed)]
        bright = sample["image"][1].numpy() > (DARK + BRIGHT) // 2
        mask = sample["mask"][0].numpy()
        counted = away_from_borders(mask)
        assert counted.mean() > 0.4
        np.testing.assert_array_equal(mask[counted], bright[counted])
        assert (mask == bright).mean() > 0.96  # at the borders, the image is smooth but the mask is not
        assert 0.2 < mask.mean() < 0.8
        crops.add(mask.tobytes())
    assert len(crops) == (12 if kind == "train" else 1)


def test_the_centre_crop_carries_the_mask_of_the_view(pool):
    packed, grid, patches = fixed_mask(*SIZES[0])
    dataset = MaskedCrops(images(pool), CropTransform(CROP, PREPROCESSING), RandomMask(), PREPROCESSING)
    mask = dataset[Visit(0, 0, packed)]["mask"][0].numpy()
    left = (grid.width - CROP) // 2
    expected = grid.to_pixels(patches).numpy()[:, left : left + CROP]
    counted = away_from_borders(expected)
    np.testing.assert_array_equal(mask[counted], expected[counted])


def test_colour_changes_leave_the_mask_alone(pool):
    packed, _, _ = fixed_mask(*SIZES[2])
    dataset = MaskedCrops(images(pool), TrainTransform(CROP), RandomMask(), PREPROCESSING)
    assert all(dataset[Visit(2, seed, packed)]["mask"].dtype == torch.bool for seed in range(4))


# Labels


@pytest.fixture
def labelled(tmp_path):
    """Writes an image that is bright where its label is 2, and dark where it is 0 or void."""
    for number, (height, width) in enumerate(SIZES):
        blocks = np.random.default_rng(number).choice([0, 2, 255], (height // 25 + 1, width // 25 + 1))
        label = np.kron(blocks, np.ones((25, 25))).astype(np.uint8)[:height, :width]
        save(tmp_path / "labels" / f"{number}.png", label)
        grey = np.where(label == 2, BRIGHT, DARK).astype(np.uint8)
        save(tmp_path / "images" / f"{number}.png", np.repeat(grey[..., None], 3, axis=-1))
    return tmp_path


@pytest.mark.parametrize("transform", [TrainTransform(CROP), CropTransform(CROP, PREPROCESSING)], ids=["train", "val"])
def test_labels_move_with_their_images(labelled, transform):
    dataset = LabelledCrops(pairs(labelled), transform)
    for index in range(len(SIZES)):
        for seed in range(4):
            sample = dataset[Visit(index, seed, None, 0.0)]
            assert equal(sample, dataset[Visit(index, seed, None, 0.0)])
            assert (sample["index"], sample["weight"]) == (index, 0.0)
            label = sample["label"].numpy()
            assert label.shape == (CROP, CROP)
            assert set(np.unique(label)) <= {0, 2, 255}  # no values in between: labels are not interpolated
            bright = sample["image"][1].numpy() > (DARK + BRIGHT) // 2
            counted = away_from_borders(label)
            np.testing.assert_array_equal((label == 2)[counted], bright[counted])


@pytest.mark.parametrize(
    ("size", "view"),
    [((256, 384), (192, 288)), ((300, 210), (274, 192)), ((192, 192), (192, 192)), ((100, 150), (192, 288))],
)
def test_whole_views_keep_the_aspect(tmp_path, size, view):
    label = np.random.default_rng(0).integers(0, 3, size).astype(np.uint8)
    save(tmp_path / "images" / "a.png", np.full((*size, 3), 90, np.uint8))
    save(tmp_path / "labels" / "a.png", label)
    labels = pairs(tmp_path)
    sample = WholeViews(labels.images, PREPROCESSING, labels)[Visit(0, 0)]
    assert sample["image"].shape == (3, *view)
    assert sample["view_label"].shape == view
    assert sample["size"].tolist() == list(size)
    np.testing.assert_array_equal(sample["label"].numpy(), label)
    # Nearest: a pixel of the view takes the label at its centre or, between two pixels, either of them.
    rows, cols = ((2 * np.arange(seen) + 1) * side for seen, side in zip(view, size, strict=True))
    at_border = (rows % (2 * view[0]) == 0)[:, None] | (cols % (2 * view[1]) == 0)
    expected = label[np.ix_(rows // (2 * view[0]), cols // (2 * view[1]))]
    assert at_border.mean() < 0.6
    np.testing.assert_array_equal(sample["view_label"].numpy()[~at_border], expected[~at_border])
    without = WholeViews(labels.images, PREPROCESSING)[Visit(0, 0)]
    assert without.keys() == {"image", "size", "index", "weight"}
    assert torch.equal(without["image"], sample["image"])


# Errors


def test_a_label_of_another_size_is_refused(tmp_path):
    save(tmp_path / "images" / "frame.png", np.zeros((200, 300, 3), np.uint8))
    save(tmp_path / "labels" / "frame.png", np.zeros((300, 200), np.uint8))
    with pytest.raises(DataError, match=r"labels/frame\.png is 200 x 300 pixels, its image .*frame\.png is 300 x 200"):
        pairs(tmp_path).read_pair(0)


def test_small_images_are_refused_unless_min_side_allows_them(tmp_path):
    save(tmp_path / "tiny.png", np.zeros((190, 300, 3), np.uint8))
    with pytest.raises(DataError, match=r"tiny\.png is 300 x 190 pixels; .* data\.min_side = 192"):
        images(tmp_path).read(0)
    dataset = MaskedCrops(images(tmp_path, 190), TrainTransform(CROP), RandomMask(), PREPROCESSING)
    assert dataset[Visit(0, 0)]["image"].shape == (3, CROP, CROP)


def test_class_ids_keep_classes_and_void(tmp_path):
    ids = class_ids(np.array([[0, 1, 2, 255]], np.int32), tmp_path / "a.png", 3)
    assert ids.dtype == np.uint8
    assert ids.tolist() == [[0, 1, 2, 255]]


def test_class_ids_translate_by_the_map(tmp_path):
    stored = np.array([[0, 38, 20_105, 1]], np.int32)
    assert class_ids(stored, tmp_path / "a.png", 3, {38: 2, 20_105: 255}).tolist() == [[0, 2, 255, 1]]


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        ([[0, 3, 3]], r"3 \(2 px\)"),
        ([[7, 0, 300]], r"7 \(1 px\), 300 \(1 px\)"),
        ([[-1, 0, 1]], r"-1 \(1 px\)"),
        ([[70_000, 0, 1]], r"70000 \(1 px\)"),
        ([[65_535, 0, 1]], r"65535 \(1 px\)"),
    ],
)
@pytest.mark.parametrize("label_map", [None, {9: 1}])
def test_other_values_are_refused_with_the_file_and_the_value(tmp_path, stored, found, label_map):
    with pytest.raises(DataError, match=rf"field\.png holds values .* 0 to 2 .*: {found}\. .*label_map"):
        class_ids(np.array(stored, np.int32), tmp_path / "field.png", 3, label_map)


@pytest.mark.parametrize("label_map", [{7: 3}, {7: 99}, {7: 300}, {7: -1}, {70_000: 1}, {-1: 1}], ids=str)
def test_a_label_map_with_an_invalid_class_or_value_is_refused(tmp_path, label_map):
    with pytest.raises(SmirError, match=r"label_map"):
        class_ids(np.array([[0, 7]], np.int32), tmp_path / "field.png", 3, label_map)


@pytest.mark.parametrize("decoder", [lambda stored, path: stored, lambda stored, path: stored[None].astype(np.uint8)])
def test_a_decoder_that_returns_no_label_of_the_size_is_refused(tmp_path, decoder):
    save(tmp_path / "images/a.png", np.zeros((8, 9, 3), np.uint8))
    save(tmp_path / "labels/a.png", np.zeros((8, 9), np.uint8))
    with pytest.raises(DataError, match=r"decode_label made .*a\.png, whose pixels have the shape \(8, 9\)"):
        pairs(tmp_path, decoder).read_pair(0)
