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
