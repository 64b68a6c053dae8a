#!/usr/bin/env python3
"""Loads an ONNX file that Yoke wrote with the PyPI `ultralytics` package and compares detections with those of the
weights it was made of; and its speed with that of another file. Run by hand (ultralytics 8.4.190, onnxruntime).

    yoke export model=yolov8n.pt out=ours.onnx --wait
    check_onnx.py ours.onnx yolov8n.pt bus.jpg zidane.jpg
    check_onnx.py --time ours.onnx theirs.onnx PHOTO

Passes if each image has the same boxes: class, confidence within 0.005, sides within 1 px. Sizes that are not open
are those of the file, so the weights predict at its size and shape too.
"""
import pathlib
import statistics
import sys
import time

CONFIDENCE_TOLERANCE, PIXEL_TOLERANCE = 0.005, 1.0
ROUNDS, REST_SECONDS = 20, 0.15  # a runtime's threads spin for a while after a run


def boxes(model, photo, **keys):
    (result,) = model.predict(photo, conf=0.25, device="cpu", verbose=False, **keys)
    return [(int(b.cls), float(b.conf), *map(float, b.xyxy[0])) for b in result.boxes]


def compare(exported, weights, photos):
    from ultralytics import YOLO

    ours, theirs, failures = YOLO(exported), YOLO(weights), []
    for photo in photos:
        got = boxes(ours, photo)
        want = boxes(theirs, photo, rect=bool(ours.predictor.model.dynamic))
        worst = [0.0, 0.0]
        for box in want:
            near = [(abs(box[1] - o[1]), max(abs(a - b) for a, b in zip(box[2:], o[2:]))) for o in got if o[0] == box[0]]
            best = min(near, key=lambda d: d[0] + d[1], default=(9, 999))
            worst = [max(worst[0], best[0]), max(worst[1], best[1])]
        if len(got) != len(want) or worst[0] > CONFIDENCE_TOLERANCE or worst[1] > PIXEL_TOLERANCE:
            failures.append(photo)
        print(f"{pathlib.Path(exported).name} on {pathlib.Path(photo).name}: {len(got)} boxes, {len(want)} expected, "
              f"largest difference {worst[0]:.2g} in confidence, {worst[1]:.2g} px")
    if ours.names != theirs.names:
        failures.append("names")
    print(f"{len(ours.names)} names, stride {ours.predictor.model.stride}: {'as expected' if not failures else failures}")
    return failures


def measure(files, photo):
    import numpy
    import onnxruntime
    from PIL import Image

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    sessions = [onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"]) for file in files]
    pixels = numpy.asarray(Image.open(photo).convert("RGB").resize((640, 640)), numpy.float32) / 255
    images = numpy.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
    seconds = {file: [] for file in files}
    for round_ in range(-3, ROUNDS):
        for file, session in list(zip(files, sessions))[:: 1 if round_ % 2 else -1]:
            time.sleep(REST_SECONDS)
            began = time.perf_counter()
            session.run(None, {"images": images})
            if round_ >= 0:
                seconds[file].append(time.perf_counter() - began)
    for file, values in seconds.items():
        print(f"{file}: median of {ROUNDS} {1000 * statistics.median(values):.1f} ms, batch 1, 640 px, 2 threads, onnxruntime {onnxruntime.__version__}")


def main():
    if sys.argv[1] == "--time":
        measure(sys.argv[2:-1], sys.argv[-1])
    elif compare(sys.argv[1], sys.argv[2], sys.argv[3:]):
        sys.exit(1)


if __name__ == "__main__":
    main()
