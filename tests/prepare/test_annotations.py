"""Annotation files as tools really write them: they give the right pixels, or are refused with a reason."""

import base64
import io
import json
import shutil
import time
import unicodedata
import zipfile

import numpy as np
import pytest
from fakes import photo
from PIL import Image

from smir.prepare.labels.shapes import Polygon, runs_of_text

SIZE = HEIGHT, WIDTH = 48, 64
NAMES = ("a", "b", "c")
CROP, WEED = (8, 8, 24, 24), (32, 8, 48, 24)
"""Left, top, right and bottom of the two plants of every image."""


def pixels(*boxes):
    """Returns class ids with boxes of (class, box); later ones lie on top, and boxes may extend beyond the image."""
    ids = np.zeros(SIZE, np.uint8)
    for class_id, (left, top, right, bottom) in boxes:
        ids[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = class_id
    return ids


PLAIN = pixels((1, CROP), (2, WEED))


def corners(box):
    left, top, right, bottom = box
    return [left, top, right, top, right, bottom, left, bottom]


@pytest.fixture
def made(tmp_path):
    """Writes a photograph for each name, and returns a function that reads the mask made for it."""
    (tmp_path / "labels").mkdir()
    write_photos(tmp_path, NAMES)
    return lambda name: np.asarray(Image.open(tmp_path / f"field/masks/{name}.png"))


def write_photos(folder, names):
    (folder / "photos").mkdir(exist_ok=True)
    for name in names:
        Image.fromarray(photo(name, SIZE)).save(folder / f"photos/{name}.jpg")


WORDS = ("prepare", "folder", "--images=photos", "--labels=labels")


def refused(fails, *words):
    """Returns the message of a command that must fail, in one line, without a traceback."""
    return " ".join(fails(*WORDS, *words).split())


# COCO


def coco(names=NAMES):
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "crop"}, {"id": 2, "name": "weed"}]}
    for number, name in enumerate(names, 1):
        content["images"].append({"id": number, "file_name": f"{name}.jpg", "height": HEIGHT, "width": WIDTH})
        content["annotations"] += [annotation(number, 1, [corners(CROP)]), annotation(number, 2, [corners(WEED)])]
    return content


def annotation(image, category, segmentation):
    return {"image_id": image, "category_id": category, "segmentation": segmentation}


def write_coco(folder, content, encoding="utf-8"):
    (folder / "labels/a.json").write_bytes(json.dumps(content).encode(encoding))


def test_hidden_folders_are_passed_over_and_those_of_two_labels_are_named(smir, fails, tmp_path, made):
    write_coco(tmp_path, coco())
    for folder in (".ipynb_checkpoints", "crop", "weed"):
        (tmp_path / "labels" / folder).mkdir()
        shutil.copy(tmp_path / "labels/a.json", tmp_path / "labels" / folder)
        if folder == ".ipynb_checkpoints":
            smir(*WORDS)
            assert (made("a") == PLAIN).all()
    (tmp_path / "labels/a.json").unlink()
    assert "crop/a.jpg and weed/a.jpg." in (message := refused(fails))
    assert "Or use one class: --labels labels/weed." in message


def test_a_category_for_unlabelled_pixels_need_not_be_drawn(smir, tmp_path, made, capsys):
    """Files that `predict` writes for annotation tools declare such a category."""
    content = coco()
    content["categories"] += [{"id": 3, "name": "void"}, {"id": 4, "name": "stone"}]
    write_coco(tmp_path, content)
    smir(*WORDS)
    assert "Declared but never drawn, so not a class: stone.\n" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["grey", "palette", "colours"])
def test_masks_beside_annotations_are_reported_if_the_annotations_do_not_name_them(smir, fails, tmp_path, made, kind):
    write_photos(tmp_path, "d")
    write_coco(tmp_path, coco())
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    for name in ("a", "b", "other"):  # exports add such masks, even for images without a shape
        Image.fromarray(noise).save(tmp_path / f"labels/{name}.png")
    smir(*WORDS)
    mask = Image.fromarray(np.dstack([PLAIN * 90] * 3) if kind == "colours" else PLAIN)
    if kind == "palette":
        mask.putpalette([0, 0, 0, 0, 200, 0, 220, 0, 0])
    mask.save(tmp_path / "labels/d.png")
    if kind == "colours":
        with pytest.warns(UserWarning, match="1 image of few colours that .* does not name, so not read: d.png"):
            smir(*WORDS, "--root=new")
        return
    said = refused(fails, "--root=new")
    assert "holds labels in 2 formats: COCO JSON, and 1 label image of one channel that it does not name: d.png" in said


def flat(content):
    for entry in content["annotations"]:
        entry["segmentation"] = entry["segmentation"][0]


def pairs_in_a_list(content):
    for entry in content["annotations"]:
        entry["segmentation"] = [np.reshape(outline, (-1, 2)).tolist() for outline in entry["segmentation"]]


def ids_as_text_and_floats(content):
    for entry in content["annotations"]:
        entry["image_id"], entry["category_id"] = str(entry["image_id"]), float(entry["category_id"])
    content["images"][1] |= {"id": "2", "height": f"{HEIGHT}", "width": float(WIDTH)}


def run_lengths_as_floats(content):
    for entry in content["annotations"]:
        inside = pixels((1, (CROP, WEED)[entry["category_id"] - 1])).T.ravel()
        ends = np.flatnonzero(np.diff(inside, prepend=0, append=1))
        lengths = np.diff(ends, prepend=0).astype(float)
        entry["segmentation"] = {"size": [float(HEIGHT), str(WIDTH)], "counts": lengths.tolist()}


def without_area(content):
    shapes = ([64.0, 48.0], [[10, 10, 40, 40]], [[5, 5], [9, 9]], [[]], None, [], {})
    content["annotations"] += [annotation(1, 2, shape) for shape in shapes]


def listed_again_without_shapes(content):
    content["images"].append({**content["images"][0], "id": 77})


def test_a_note_names_categories_of_one_name_in_two_groups(smir, tmp_path, made, capsys):
    content = coco()
    for category in content["categories"]:
        category |= {"name": "leaf ", "supercategory": category["name"]}
    content["categories"].append({"id": 9, "name": "leaf", "supercategory": "none"})  # without shapes, as of Roboflow
    write_coco(tmp_path, content)
    smir(*WORDS)
    assert np.array_equal(made("a"), PLAIN > 0)
    assert (
        "has several categories 'leaf', of the groups (supercategory) crop, weed; they are" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    "change",
    [flat, pairs_in_a_list, ids_as_text_and_floats, run_lengths_as_floats, without_area, listed_again_without_shapes],
)
def test_the_coco_variants_of_different_tools_are_read(smir, tmp_path, made, capsys, change):
    content = coco()
    change(content)
    write_coco(tmp_path, content, "utf-16" if change is flat else "utf-8")
    smir(*WORDS)
    assert all(np.array_equal(made(name), PLAIN) for name in NAMES)
    if change is without_area:
        left_out = "boxes without an outline (3), outlines of less than three points (4)."
        assert f"Left out, because their pixels are not known: {left_out}" in capsys.readouterr().out


def set_image(**values):
    return lambda content: content["images"][1].update(values)


def set_annotation(**values):
    return lambda content: content["annotations"][2].update({"id": 900, **values})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_image(height=48.5), "a.json: image 2 needs file_name, height and width, got b.jpg, 48.5, 64."),
        (set_image(width=None), "got b.jpg, 48, None."),
        (set_image(width=True), "got b.jpg, 48, True."),
        (set_image(height=float("nan")), "got b.jpg, nan, 64."),
        (set_image(file_name=""), "image 2 needs file_name, height and width, got , 48, 64."),
        (set_image(id=None), "'images' holds the id None; an id is a number or a word."),
        (set_image(id="1"), "'images' has the id 1 more than once"),
        (set_image(file_name="a.jpg"), "The image a.jpg is labelled twice, both in labels/a.json"),
        (set_annotation(image_id="two"), "annotation 900 has image_id 'two', but the file has no such image."),
        (set_annotation(category_id=None), "annotation 900 has category_id None, but the file has no such category."),
        (set_annotation(category_id=1.5), "annotation 900 has category_id 1.5"),
        (set_annotation(image_id=True), "annotation 900 has image_id True"),
        (set_annotation(segmentation=[[1, 2, 10**400, 2, 3, 4]]), "of annotation 900 should be a list of numbers"),
        (set_annotation(segmentation=[1, 2, 3, 4, 5, 6, 7]), "of annotation 900 has 7 numbers"),
        (set_annotation(segmentation=[[[[1, 2], [3, 4], [5, 6]]]]), "of annotation 900 should be a list of numbers"),
        (set_annotation(segmentation=[{"x": 1, "y": 2}]), "of annotation 900 should be a list of numbers"),
        (set_annotation(segmentation=[[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]]), "its coordinates are shares of the image"),
        (
            set_annotation(segmentation={"size": list(SIZE), "counts": [5.5, HEIGHT * WIDTH - 5]}),
            "a run length of annotation 900 should be a whole number, got 5.5.",
        ),
        (
            set_annotation(segmentation={"size": [HEIGHT + 1, WIDTH], "counts": [(HEIGHT + 1) * WIDTH]}),
            "annotation 900 (crop) does not fit its image b.jpg of 64 x 48 pixels: its run lengths are for 64 x 49",
        ),
        (
            set_annotation(segmentation={"size": list(SIZE), "counts": [0, HEIGHT * (WIDTH + 1)]}),
            "its run lengths add up to 3120 of 3072 pixels",
        ),
    ],
)
def test_invalid_coco_is_refused(fails, tmp_path, made, change, said):
    content = coco()
    change(content)
    write_coco(tmp_path, content)
    assert said in refused(fails)
    assert not (tmp_path / "field/data.yaml").exists()


@pytest.mark.parametrize("most", [97, 80])
def test_coordinates_in_percent_are_refused_and_outlines_in_one_corner_cause_a_note(
    smir, fails, tmp_path, made, capsys, most
):
    content = coco()
    for image, crop, weed in zip(content["images"], *(content["annotations"][n::2] for n in (0, 1)), strict=True):
        Image.fromarray(photo(image["file_name"], (200, 256))).save(tmp_path / f"photos/{image['file_name']}")
        image |= {"height": 200, "width": 256}
        weed["segmentation"] = [corners((30, 30, most, most))]
        crop["segmentation"] = [corners((5, 5, 20, 20))]
    write_coco(tmp_path, content)
    if most > 90:
        assert "the coordinates are per cent of the image, not pixels. Multiply x by width / 100" in refused(fails)
    else:
        smir(*WORDS)
        assert made("a").sum() == 15**2 + 2 * 50**2
        assert "No outline in a.json passes x = 100 or y = 100." in capsys.readouterr().out


def test_relative_coordinates_slightly_outside_the_image_are_refused(fails, tmp_path, made):
    content = coco()
    for annotation in content["annotations"]:
        annotation["segmentation"] = [[0.2, 0.4, 0.6, 0.4, 1.01, 1.0, -0.01, 0.6]]
    write_coco(tmp_path, content)
    assert "all outlines lie between -0.01 and 1.01, so the coordinates are shares of the image" in refused(fails)


def test_a_short_outline_beside_another_is_counted(smir, tmp_path, made, capsys):
    content = coco()
    content["annotations"][0]["segmentation"].append([1, 1, 2, 2])
    write_coco(tmp_path, content)
    smir(*WORDS)
    assert "outlines of less than three points (1)" in capsys.readouterr().out


def test_run_lengths_as_text_take_linear_time():
    start = time.process_time()
    with pytest.raises(ValueError, match="more than 60 bits"):
        runs_of_text("o" * 3_000_000)
    assert runs_of_text("111" + "0" * 200_000) == [1] * 200_003
    assert time.process_time() - start < 5


# COCO panoptic: a PNG of segment ids for each image

SEGMENTS = {"crop": [7, 300], "weed": [70_000]}
OTHER_CROP = (32, 32, 48, 40)


def write_panoptic(folder, name="labels/pngs", change=None):
    ids = np.zeros(SIZE, np.int64)
    for value, (left, top, right, bottom) in ((7, CROP), (300, OTHER_CROP), (70_000, WEED)):
        ids[top:bottom, left:right] = value
    if change:
        ids = change(ids)
    content = coco()
    content["annotations"] = [
        {
            "image_id": number,
            "file_name": f"{name_}.png",
            "segments_info": [
                {"id": i, "category_id": place} for place, key in enumerate(SEGMENTS, 1) for i in SEGMENTS[key]
            ],
        }
        for number, name_ in enumerate(NAMES, 1)
    ]
    write_coco(folder, content)
    (folder / name).mkdir(parents=True)
    for name_ in NAMES:
        colors = np.stack([ids % 256, ids // 256 % 256, ids // 65_536], axis=-1).astype(np.uint8)
        Image.fromarray(colors).save(folder / name / f"{name_}.png")


def test_panoptic_segments_are_read_from_their_pngs(smir, tmp_path, made):
    write_panoptic(tmp_path)
    expected = pixels((1, CROP), (2, WEED), (1, OTHER_CROP))
    smir(*WORDS, "--classes=[background=void, crop, weed]")
    assert all(np.array_equal(made(name), expected) for name in NAMES)
    smir(*WORDS)  # pixels outside all segments are not labelled, as the format says
    assert all(np.array_equal(made(name), np.where(expected == 0, 255, expected)) for name in NAMES)


def unknown_segment(ids):
    return np.where(ids == 300, 301, ids)


@pytest.mark.parametrize(
    ("folder", "change", "said"),
    [
        ("elsewhere", None, "annotation number 0 is panoptic, so its shapes are in the PNG a.png, which is not below"),
        ("labels/pngs", unknown_segment, "and segments_info has the segments 300, 301."),
        ("labels/pngs", lambda ids: ids[:40], "a.png has 64 x 40 pixels."),
    ],
)
def test_panoptic_pngs_that_do_not_fit_are_refused(fails, tmp_path, made, folder, change, said):
    write_panoptic(tmp_path, folder, change)
    assert said in refused(fails)


def test_panoptic_pngs_in_grey_are_refused(fails, tmp_path, made):
    write_panoptic(tmp_path)
    for name in NAMES:
        Image.fromarray(PLAIN).save(tmp_path / f"labels/pngs/{name}.png")
    assert "a.png is a grey or palette PNG, but segments are colours" in refused(fails)


# CVAT


def write_cvat(folder, shapes, size=f'height="{HEIGHT}" width="{WIDTH}"', head="<?xml version='1.0'?>"):
    outlines = {
        name: ";".join(f"{x},{y}" for x, y in np.reshape(corners(box), (-1, 2)))
        for name, box in (("crop", CROP), ("weed", WEED))
    }
    usual = "".join(f'<polygon label="{name}" points="{points}"/>' for name, points in outlines.items())
    images = "".join(
        f'<image id="{number}" name="{name}.jpg" {size}>{usual}{shapes if name == "a" else ""}</image>'
        for number, name in enumerate(NAMES)
    )
    names = "<label><name>crop</name></label><label><name>weed</name></label>"
    text = f"{head}<annotations><meta><task><labels>{names}</labels></task></meta>{images}</annotations>"
    (folder / "labels/annotations.xml").write_text(text)


def test_cvat_shapes_without_area_are_left_out(smir, tmp_path, made, capsys):
    without_area = (
        '<polygon label="weed" points="40,40;40,40"/><polygon label="weed" points="40,40"/>'
        '<polygon label="weed" points=""/><polyline label="weed" points="1,40;9,40"/>'
        '<points label="crop" points="1,2;3,4"/><tag label="crop"/>'
    )
    write_cvat(tmp_path, without_area)
    smir(*WORDS)
    assert all(np.array_equal(made(name), PLAIN) for name in NAMES)
    said = "shapes of the kind points (1), shapes of the kind polyline (1)."
    assert f"outlines of less than three points (3), {said}" in capsys.readouterr().out


def mask(box, class_name="weed"):
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    return (
        f'<mask label="{class_name}" rle="0, {width * height}" left="{left}" top="{top}" width="{width}" '
        f'height="{height}"/>'
    )


@pytest.mark.parametrize("box", [(40, 30, 60, HEIGHT + 1), (50, 30, WIDTH + 1, 40), (-1, -1, 5, 5)])
def test_cvat_masks_are_cut_off_at_the_border(smir, tmp_path, made, box):
    write_cvat(tmp_path, mask(box))
    smir(*WORDS)
    assert np.array_equal(made("a"), pixels((1, CROP), (2, WEED), (2, box)))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (mask((10, HEIGHT, 20, HEIGHT + 5)), "it goes from (10, 48) to (20, 53), all of it outside the image"),
        (mask((10, -9, 20, -2)), "it goes from (10, -9) to (20, -2), all of it outside the image"),
        (mask((10, 200, 20, 300)), "far outside the image"),
        ('<mask label="weed" rle="1, 2.5" left="1" top="1" width="2" height="2"/>', "should be whole numbers"),
        ('<mask label="weed" rle="0, 4" left="1.5" top="1" width="2" height="2"/>', "the left of mask number 2 of"),
        ('<mask label="weed" rle="0, 9" left="1" top="1" width="2" height="2"/>', "add up to 9 of 4 pixels"),
        (
            '<polygon label="weed" points="1,2;3,4;5"/>',
            "a point of polygon number 2 of a.jpg is '5'; it should be x and y",
        ),
        ('<polygon label="weed" points="1,2;nan,4;5,5"/>', "the points of polygon number 2 of a.jpg should be numbers"),
        ('<polygon label="weed" points="1,2,3;4,5,6"/>', "is '1,2,3'; it should be x and y."),
        ('<mask label="weed" rle="0, 4" left="1" top="1" width="-2" height="-2"/>', "run lengths is negative"),
        ('<polygon label="weed" points="0.1,0.2;0.3,0.4;0.5,0.1"/>', "its coordinates are shares of the image"),
        ('<polygon label=" " points="1,2;3,4;5,5"/>', "polygon number 2 of a.jpg has no label"),
        (
            '<box label="weed" xtl="inf" ytl="1" xbr="2" ybr="3"/>',
            "xtl of box number 2 of a.jpg should be numbers, got 'inf'",
        ),
    ],
)
def test_invalid_cvat_is_refused(fails, tmp_path, made, shape, said):
    write_cvat(tmp_path, shape)
    assert said in refused(fails)


@pytest.mark.parametrize("size", ['height="nan" width="64"', 'height="48" width=""', 'height="48.5" width="64"'])
def test_cvat_sizes_that_are_not_whole_numbers_are_refused(fails, tmp_path, made, size):
    write_cvat(tmp_path, "", size)
    assert "labels/annotations.xml: the " in (said := refused(fails))
    assert "of a.jpg should be a whole number, got " in said


# Labelme


def labelme(**values):
    shapes = [
        {"label": name, "points": np.reshape(corners(box), (-1, 2)).tolist(), "shape_type": "polygon"}
        for name, box in (("crop", CROP), ("weed", WEED))
    ]
    return {"shapes": shapes, "imagePath": "x.jpg", "imageHeight": HEIGHT, "imageWidth": WIDTH, **values}


def write_labelme(folder, contents, encoding="utf-8"):
    for name, content in contents.items():
        (folder / f"labels/{name}.json").write_bytes(
            json.dumps(content, ensure_ascii=encoding != "gbk").encode(encoding)
        )


def bitmap(side, points):
    png = io.BytesIO()
    Image.fromarray(np.full((side, side), 255, np.uint8)).save(png, "PNG")
    text = base64.b64encode(png.getvalue()).decode()
    return {"label": "weed", "shape_type": "mask", "points": points, "mask": text}


def test_labelme_that_names_another_image_is_refused(fails, tmp_path, made):
    write_labelme(tmp_path, {"a": labelme(imagePath="C:\\work\\b.jpg"), "c": labelme()})
    said = refused(fails)
    assert "labels/a.json is named after a.jpg, but its imagePath is C:\\work\\b.jpg, which also exists." in said
    assert not (tmp_path / "field/masks").exists()


def test_labelme_under_other_names_is_matched_by_its_image_path(smir, fails, tmp_path, made):
    write_labelme(
        tmp_path, {place: labelme(imagePath=f"..\\{name}.jpg") for place, name in zip("123", "cab", strict=True)}
    )
    smir(*WORDS)
    assert (made("a") == PLAIN).all()
    write_labelme(tmp_path, {"3": labelme(imagePath="a.jpg")})
    assert "None of the 3 labels" in refused(fails)


def test_labelme_files_are_matched_by_folder_if_image_names_repeat(smir, tmp_path):
    for name in "abc":
        for kind in ("photos", "labels"):
            (tmp_path / kind / name).mkdir(parents=True)
        Image.fromarray(photo(name, SIZE)).save(tmp_path / f"photos/{name}/1.png")
        (tmp_path / f"labels/{name}/1.json").write_text(json.dumps(labelme(imagePath="1.png")))
    smir(*WORDS)
    for name in "abc":
        assert (np.asarray(Image.open(tmp_path / f"field/masks/{name}/1.png")) == PLAIN).all()


def test_rotated_rectangles_of_labelme_are_read(smir, fails, tmp_path, made, capsys):
    slanted = labelme()
    for shape, kind in zip(slanted["shapes"], ("oriented_rectangle", "rotation"), strict=True):
        shape["shape_type"] = kind
    slanted["shapes"].append({"label": "crop", "shape_type": "cuboid", "points": [[1, 1]] * 8})
    write_labelme(tmp_path, {"a": slanted, "b": labelme(), "c": labelme()})
    smir(*WORDS)
    assert (made("a") == PLAIN).all()
    assert "Left out, because their pixels are not known: shapes of the kind cuboid (1)." in capsys.readouterr().out
    del slanted["shapes"][0]["points"][2:]
    write_labelme(tmp_path, {"a": slanted})
    assert "shape number 0 is a oriented_rectangle of 2 points; it should have 4." in refused(fails)


def test_the_labelme_variants_of_different_tools_are_read(smir, tmp_path, made):
    odd = labelme(imagePath="b.HEIC", imageHeight=float(HEIGHT), imageWidth=str(WIDTH))
    odd["shapes"][0]["label"] = "crop "
    odd["shapes"] += [bitmap(8, [[-1, 41], [6, 48]]), {"label": "weed", "points": [[3, 3], [9, 9]]}]
    write_labelme(tmp_path, {"a": labelme(imagePath=None), "b": odd, "c": labelme()}, "utf-16")
    smir(*WORDS)
    assert np.array_equal(made("a"), PLAIN)
    assert np.array_equal(made("b"), pixels((1, CROP), (2, WEED), (2, (-1, 41, 7, 49))))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"imageHeight": 48.5}, "labels/a.json: imageHeight and imageWidth should be whole numbers, got 48.5, 64."),
        ({"shapes": [bitmap(8, [[1, 1], [20, 8]])]}, "has 8 x 8 pixels, but its points are [1, 1] and [20, 8]"),
        ({"shapes": {}}, "labels/a.json: 'shapes' should be a list, got {}."),
        (
            {"shapes": [{"label": "\ud800", "points": [[1, 1], [9, 1], [9, 9]]}]},
            "holds characters that cannot be stored",
        ),
        ({"shapes": [{"label": "", "points": []}]}, "labels/a.json: shape number 0 has no label."),
        ({"shapes": [{"label": "crop", "points": [None]}]}, "a point of shape number 0 should be a list of numbers"),
    ],
)
def test_invalid_labelme_is_refused(fails, tmp_path, made, change, said):
    write_labelme(tmp_path, {"a": labelme(**change), "b": labelme(), "c": labelme()})
    assert said in refused(fails)


def test_another_text_encoding_is_named(fails, tmp_path, made):
    crop = labelme()
    crop["shapes"][0]["label"] = "玉米"
    write_labelme(tmp_path, {"a": crop}, "gbk")
    said = refused(fails)
    assert "labels/a.json is damaged, or its text is not UTF-8 but in an encoding such as GBK" in said
    assert "iconv -f GBK -t UTF-8" in said


# Names


def test_image_names_that_are_escaped_as_in_urls_are_matched(smir, tmp_path):
    names = [unicodedata.normalize("NFD", f"Süd {number}") for number in range(4)]
    names += [
        "a%20b",
        "a b",
        "Süd 4",
        "S%C3%BCd%205",
    ]
    write_photos(tmp_path, names)
    (tmp_path / "labels").mkdir()
    content = coco(range(8))
    for image, name in zip(
        content["images"],
        (
            "/data/local-files/?d=photos%5CS%C3%BCd%200.jpg",
            "https://store/S%25C3%25BCd%201.jpg?signed=1&by=me",
            "/data/local-files/?x=1&d=S%C3%BCd 2.jpg",
            "S%C3%BCd%203.HEIC",
            "a%20b.jpg",
            "a b.jpg",
            "S%FCd 4.jpg",
            "Süd 5.jpg",
        ),
        strict=True,
    ):
        image["file_name"] = name
    content["annotations"][11]["segmentation"] = [corners(OTHER_CROP)]
    write_coco(tmp_path, content)
    smir(*WORDS)
    for name in names:
        found = np.asarray(Image.open(tmp_path / f"field/masks/{name}.png"))
        assert np.array_equal(found, pixels((1, CROP), (2, OTHER_CROP if name == "a b" else WEED)))


def test_image_names_that_label_studio_changed_are_matched(smir, tmp_path, made):
    names = ["Feld_Süd_0", "Feld Süd (1)", "x"]
    write_photos(tmp_path, names)
    uploaded = ("Feld_S%C3%BCd_0", "Feld_S%C3%BCd_1", "x")
    write_coco(tmp_path, coco([f"images/3/0a1b2c0{n}-{name}" for n, name in enumerate(uploaded)]))
    smir(*WORDS)
    assert all(np.array_equal(made(name), PLAIN) for name in names)


def test_unsupported_images_are_named_if_labels_need_them(fails, tmp_path, made):
    write_labelme(tmp_path, dict.fromkeys((*NAMES, "d"), labelme()))
    (tmp_path / "photos/d.HEIC").touch()
    assert "1 of 4 labels in" in (said := refused(fails))
    assert "Convert d.HEIC to JPEG or PNG, because smir cannot read them." in said


# Files whose content does not fit their name


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("result.json", json.dumps(coco()))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", archive(), "labels/a.json is an archive. Unpack it, and give the folder."),
        ("a.xml", archive(), "labels/a.xml is an archive."),
        ("a.json", b"\x1f\x8b\x08\0", "labels/a.json is an archive."),
        ("a.zip", archive(), "It holds a.zip. Unpack the archive."),
        ("a.json", b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS, not the file itself"),
        ("a.json", b"<!DOCTYPE html><html></html>", "holds no labels of a known format"),
    ],
)
def test_archives_and_placeholders_in_place_of_labels_are_refused(fails, tmp_path, made, name, content, said):
    (tmp_path / "labels" / name).write_bytes(content)
    assert said in refused(fails)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "filename,region_shape_attributes\n", "a.csv is CSV of VIA; export COCO instead."),
        ("a.csv", "id,name\n", "COCO JSON"),
        ("a.csv", "# Exported using VIA\n# CSV_HEADER = metadata_id,file_list\n", "a.csv is CSV of VIA"),
        ("a.csv", "annotation_id,annotator,image,label\n", "a.csv is CSV of Label Studio"),
        ("a.gpkg", "SQLite format 3\0", "a.gpkg is a vector file of a GIS; --labels takes it for one orthomosaic"),
        ("a.shp", "\0\0'\n", "as a GeoPackage (.gpkg)"),
        ("a.geojson", '{"type": "FeatureCollection", "features": []}', "a.geojson is a vector file of a GIS"),
        ("a.json", '{"type": "FeatureCollection", "features": []}', "a.json is a vector file of a GIS"),
        ("a.json", '{"_via_settings": {}, "_via_img_metadata": {}}', "a.json is JSON of VIA"),
        ("a.json", '{"a.jpg9": {"filename": "a.jpg", "size": 9, "regions": []}}', "a.json is JSON of VIA"),
        ("a.json", '[{"id": 1, "annotations": [], "data": {}}]', "a.json is JSON of Label Studio"),
        ("a.json", '[{"image": "a", "annotator": 1, "annotation_id": 2}]', "a.json is JSON of Label Studio"),
        ("a.json", '{"description": "", "size": {}, "objects": []}', "a.json is JSON of Supervisely"),
        ("a.json", '{"info": {}, "categories": {}, "items": []}', "a.json is JSON of Datumaro"),
        ("a.json", '{"version": "2.0", "item": {}, "annotations": []}', "a.json is JSON of V7 (Darwin)"),
        ("a.json", '{"dataset": "", "image": {}, "annotations": []}', "a.json is JSON of V7 (Darwin)"),
        ("a.json", '{"project": {}, "file": {}, "metadata": {}}', "a.json is JSON of VIA"),
        ("a.json", '[{"Labeled Data": "", "Label": {}}]', "a.json is JSON of Labelbox"),
        ("a.json", '[{"file_name": "", "annotations": []}]', "a.json is JSON of Detectron2"),
        ("a.json", '[{"image_id": 1, "category_id": 1, "segmentation": []}]', "is a list of COCO annotations alone"),
        ("a.json", '{"images": [], "annotations": []}', "a.json is COCO JSON without categories"),
        ("a.json", '{"created_at": "", "dataset": {}}', "a.json is JSON of Segments.ai"),
        ("a.json", '{"image": {}, "annotations": []}', "a.json is JSON of Segment Anything or CreateML"),
        ("a.json", '[{"segmentation": {}, "predicted_iou": 1}]', "a.json is JSON of Segment Anything"),
        ("a.json", '[{"type": "Feature", "geometry": {}, "properties": {}}]', "a.json is GeoJSON without a collection"),
        ("a.csv", "ImageId,EncodedPixels\n", "a.csv is CSV of run lengths, as on Kaggle"),
        ("a.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\n", "a.csv is CSV of boxes"),
        ("a.tsv", "annotation_id\tannotator\n", "a.tsv is TSV of Label Studio"),
        ("a.json", '{"images": [], "export_format_version": "1.1"}', "a.json is JSON of Hasty"),
        ("a.json", '[{"name": "a.jpg", "labels": []}]', "a.json is JSON of BDD100K"),
        ("a.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg is a drawing; save a PNG of class ids"),
        ("data.yaml", "train: a\nnames: [b]\n", "data.yaml is the list of classes of YOLO"),
        ("a.mat", "MATLAB 5.0", "a.mat is a file of MATLAB"),
        ("a.roi", "Iout", "a.roi is a region of ImageJ"),
        ("a.npy", "NUMPY", "a.npy is an array of NumPy"),
        ("a.json", "7", "COCO JSON"),
        ("a.txt", "0 0.5 0.5 0.1 0.2\n", "a.txt is text of YOLO"),
        ("a.xml", "<annotation><filename/></annotation>", "a.xml is XML of Pascal VOC; export COCO or masks instead."),
    ],
)
@pytest.mark.parametrize("file", [True, False])
def test_labels_in_unsupported_formats_are_named(fails, tmp_path, made, name, content, said, file):
    (tmp_path / "labels" / name).write_text(content)
    said_of_it = fails(*(f"{word}/{name}" if file and word.startswith("--labels") else word for word in WORDS))
    assert said in said_of_it
    assert "known format" in said_of_it
    assert "damaged" not in said_of_it


def test_cvat_is_recognised_by_its_content(smir, tmp_path, made):
    write_cvat(tmp_path, "")
    (tmp_path / "labels/annotations.xml").rename(tmp_path / "labels/export.json")
    (tmp_path / "labels/meta.json").write_text("{}")
    (tmp_path / "labels/old.zip").write_bytes(archive())
    with pytest.warns(UserWarning, match=r"are not read: meta\.json, old\.zip\."):
        smir(*WORDS)
    assert np.array_equal(made("b"), PLAIN)


def test_brush_pngs_of_label_studio_are_refused(fails, tmp_path, made):
    for number in (1, 2):
        Image.fromarray(PLAIN * 100).save(tmp_path / f"labels/task-{number}-annotation-7-by-1-tag-crop-0.png")
    said = refused(fails)
    assert "holds PNGs of Label Studio's brush (task-1-annotation-7-by-1-tag-crop-0.png, " in said
    assert "Export 'Brush labels to COCO' instead." in said


@pytest.mark.parametrize("outline", [[-5, 5, -5, 20, -5, 30], [64, 5, 70, 20, 70, 30], [-3, 1, 0, 5, -3, 5]])
def test_outlines_beside_the_image_are_refused_on_every_side(outline):
    with pytest.raises(ValueError, match="all of it outside the image"):
        Polygon([outline]).pixels(48, 64)
    assert Polygon([[64, 0, 64, 20, 64, 30]]).pixels(48, 64)[1].sum() == 0  # cut off at the border by a tool
