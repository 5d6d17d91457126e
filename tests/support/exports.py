"""Writes label images as annotation tools export them, one writer per format; the labels are blocks of 8 x 8 pixels."""

import base64
import io
import itertools
import json

import numpy as np
from PIL import Image

BLOCK = 8
NAMES = ("background", "crop", "weed")
COLORS = ((0, 0, 0), (51, 221, 255), (250, 50, 83))
_IDS = {1: 30, 2: 7}


def squares(label):
    """Returns the class, left and top of every block that is not background."""
    for top, left in itertools.product(range(0, label.shape[0], BLOCK), range(0, label.shape[1], BLOCK)):
        if label[top, left]:
            yield int(label[top, left]), left, top


def corners(left, top):
    return [left, top, left + BLOCK, top, left + BLOCK, top + BLOCK, left, top + BLOCK]


def runs(pixels):
    """Returns the run lengths of a flat mask; the first run is outside."""
    counts = [len(list(group)) for _, group in itertools.groupby(pixels.tolist())]
    return counts if not pixels[0] else [0, *counts]


def coco(labels, outline):
    """Returns the content of a COCO file; `outline` turns a label and one of its squares or classes into shapes."""
    images, annotations = [], []
    for number, (name, label) in enumerate(labels.items()):
        height, width = label.shape
        images.append({"id": number, "file_name": f"images/{name}.jpg", "height": height, "width": width})
        for class_id, segmentation in outline(label):
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": _IDS[class_id],
                    "segmentation": segmentation,
                }
            )
    categories = [
        {"id": 7, "name": "weed", "color": "#fa3253"},
        {"id": 30, "name": "crop", "color": [51, 221, 255]},
        {"id": 8, "name": "stone"},
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_coco(folder, labels, outline):
    (folder / "annotations").mkdir(parents=True)
    (folder / "annotations/instances_default.json").write_text(json.dumps(coco(labels, outline)))


def coco_polygons(folder, labels):
    write_coco(folder, labels, lambda label: [(c, [corners(x, y)]) for c, x, y in squares(label)])


def coco_runs(folder, labels):
    def outline(label):
        size = list(label.shape)
        return [(c, {"size": size, "counts": runs((label == c).T.ravel())}) for c in (1, 2) if (label == c).any()]

    write_coco(folder, labels, outline)


def coco_text(folder, labels):
    from pycocotools import mask

    def outline(label):
        for class_id in (1, 2):
            coded = mask.encode(np.asfortranarray(label == class_id))
            yield class_id, {"size": coded["size"], "counts": coded["counts"].decode()}

    write_coco(folder, labels, outline)


def labelme(folder, labels):
    """Writes polygons for crop, and rectangles and masks for weed."""
    folder.mkdir()
    for name, label in labels.items():
        shapes = []
        for number, (class_id, x, y) in enumerate(squares(label)):
            ends, kind, mask = [[x, y], [x + BLOCK, y + BLOCK]], "rectangle", None
            if class_id == 1:
                ends, kind = np.reshape(corners(x, y), (-1, 2)).tolist(), "polygon"
            elif number % 2:
                png = io.BytesIO()
                Image.fromarray(np.full((BLOCK, BLOCK), 255, dtype=np.uint8)).save(png, "PNG")
                ends, kind = [[x, y], [x + BLOCK - 1, y + BLOCK - 1]], "mask"
                mask = base64.b64encode(png.getvalue()).decode()
            shapes.append({"label": NAMES[class_id], "points": ends, "shape_type": kind, "mask": mask, "flags": {}})
        content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"C:\\work\\{name}.jpg"}
        content |= {"imageData": "AAAA", "imageHeight": label.shape[0], "imageWidth": label.shape[1]}
        (folder / f"{name}.json").write_text(json.dumps(content))


def cvat(folder, labels):
    """Writes polygons and masks for crop, and boxes for weed; they cover a weed over the whole image below them."""
    shades = ["#33ddff", "#fa3253", "#000001"]
    head = "".join(
        f"<label><name>{name}</name><color>{shade}</color></label>"
        for name, shade in zip((*NAMES[1:], "stone"), shades, strict=True)
    )
    images = []
    for number, (name, label) in enumerate(labels.items()):
        height, width = label.shape
        shapes = []
        for at, (class_id, x, y) in enumerate(squares(label)):
            points = ";".join(f"{a:.2f},{b:.2f}" for a, b in np.reshape(corners(x, y), (-1, 2)))
            shape = f'<polygon label="crop" points="{points}" z_order="2"/>'
            if class_id == 2:
                shape = f'<box label="weed" xtl="{x}" ytl="{y}" xbr="{x + BLOCK}" ybr="{y + BLOCK}" z_order="2"/>'
            elif at % 2:
                shape = (
                    f'<mask label="crop" rle="0, {BLOCK**2}" left="{x}" top="{y}" width="8" height="8" z_order="2"/>'
                )
            shapes.append(shape)
        inside = (label > 0).ravel()  # the lowest layer of the file, although it comes last
        rle = ", ".join(map(str, runs(inside)))
        shapes.append(
            f'<mask label="weed" rle="{rle}" left="0" top="0" width="{width}" height="{height}" z_order="1"/>'
        )
        images.append(
            f'<image id="{number}" name="{name}.jpg" width="{width}" height="{height}">{"".join(shapes)}</image>'
        )
    folder.mkdir()
    (folder / "annotations.xml").write_text(
        f"<?xml version='1.0' encoding='utf-8'?><annotations><version>1.1</version><meta><job><labels>{head}</labels>"
        f"</job></meta>{''.join(images)}</annotations>"
    )


def cvat_masks(folder, labels):
    (folder / "SegmentationClass").mkdir(parents=True)
    (folder / "SegmentationObject").mkdir()
    lines = [f"{name}:{','.join(map(str, color))}::" for name, color in zip(NAMES, COLORS, strict=True)]
    (folder / "labelmap.txt").write_text("\n".join(["# label:color_rgb:parts:actions", *lines]))
    for name, label in labels.items():
        Image.fromarray(np.array(COLORS, dtype=np.uint8)[label]).save(folder / f"SegmentationClass/{name}.png")
        Image.fromarray(label * 7).save(folder / f"SegmentationObject/{name}.png")


def grey(folder, labels):
    folder.mkdir()
    for name, label in labels.items():
        Image.fromarray(label).save(folder / f"{name}.png")


def grey_as_rgb(folder, labels):
    grey(folder, {name: np.repeat(label[..., None], 3, axis=-1) for name, label in labels.items()})


def colors(folder, labels):
    grey(folder, {name: np.array(COLORS, dtype=np.uint8)[label] for name, label in labels.items()})


def palette(folder, labels):
    folder.mkdir()
    for name, label in labels.items():
        image = Image.fromarray(label)
        image.putpalette([value for color in COLORS for value in color])
        image.save(folder / f"{name}.png")


BY_NAME = {
    "COCO JSON polygons": (coco_polygons, None),
    "COCO JSON run lengths": (coco_runs, None),
    "COCO JSON run lengths as text": (coco_text, None),
    "Labelme JSON": (labelme, None),
    "CVAT for images XML": (cvat, None),
    "CVAT segmentation mask": (cvat_masks, None),
    "class ids": (grey, "[background, crop, weed]"),
    "class ids as RGB": (grey_as_rgb, "[background=0, crop=1, weed=2]"),
    "palette": (palette, "[background, crop, weed]"),
    "colours": (colors, "[background=#000000, crop=#33ddff, weed=#FA3253]"),
    "palette by colour": (palette, "[background=#000000, crop=#33ddff, weed=#fa3253]"),
}
