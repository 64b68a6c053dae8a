"""COCO's own evaluation, by pycocotools: the oracle of our COCO figures."""
import contextlib
import io
import json
import pathlib

import oracles

# In the order that COCOeval prints them; fields of CocoMetrics in protobuf JSON.
FIGURES = ("ap", "ap50", "ap75", "apSmall", "apMedium", "apLarge", "ar1", "ar10", "ar100", "arSmall", "arMedium", "arLarge")


def figures(truths, detections):
    """The twelve figures of two paths of files in COCO's formats."""
    coco, cocoeval = oracles.require("pycocotools.coco", "pycocotools.cocoeval")
    with contextlib.redirect_stdout(io.StringIO()):
        objects = coco.COCO(str(truths))
        evaluation = cocoeval.COCOeval(objects, objects.loadRes(str(detections)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def write_truths(path, images, annotations, categories):
    """`images`: ids; `annotations`: (image id, category id, [x, y, w, h])."""
    rows = [{"id": i, "image_id": image, "category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for i, (image, category, box) in enumerate(annotations, 1)]
    pathlib.Path(path).write_text(json.dumps({"info": {}, "images": [{"id": image} for image in images], "annotations": rows,
                                              "categories": [{"id": category} for category in categories]}))


# COCO's category ids: 1 to 90 without these.
GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
CATEGORIES = [category for category in range(1, 91) if category not in GAPS]


def image_sizes(paths):
    """Path -> (width, height)."""
    image = oracles.require("PIL.Image")
    return {path: image.open(path).size for path in paths}


def write_truths_of_labels(path, sizes, labels):
    """COCO's file of images whose stems are numbers and of the YOLO labels beside them."""
    annotations = []
    for image, (width, height) in sizes.items():
        label = labels / (image.stem + ".txt")
        for line in label.read_text().splitlines() if label.exists() else ():
            cls, x, y, w, h = map(float, line.split())
            w, h = w * width, h * height
            annotations.append((int(image.stem), CATEGORIES[int(cls)], [x * width - w / 2, y * height - h / 2, w, h]))
    write_truths(path, [int(image.stem) for image in sizes], annotations, CATEGORIES)
