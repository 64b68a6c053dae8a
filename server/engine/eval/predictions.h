// Detections in pixels of the original images: as COCO's protocol measures them and as
// predictions.json holds them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/engine/data/dataset.h"
#include "server/engine/eval/coco_metrics.h"
#include "server/engine/eval/detection.h"

namespace yoke::engine {

struct ImageDetections {
  int64_t sample = 0;                 // index into Split::samples
  std::vector<Detection> detections;  // px of the original image, within it
};

std::string EncodeDetections(const std::vector<ImageDetections>& images);

// Appends what `bytes` hold. Internal: they are not what EncodeDetections makes.
absl::Status DecodeDetections(const std::string& bytes, std::vector<ImageDetections>& images);

// An image as predictions.json names it, as JSON: the number its stem is, else the stem.
std::string ImageIdJson(const std::string& path);

// The data set with what was found, in the order in which COCOeval takes the images: ascending by
// image id. Boxes have three decimals and scores five, as in the file, so that the figures are
// those of the file.
std::vector<CocoImage> CocoImages(const Split& split, const std::vector<ImageDetections>& images);

// Writes [{"image_id", "file_name", "category_id", "bbox": [x, y, w, h], "score"}, ...], a row a
// detection, in the same order. `category_ids`: by class. `warning` is set if images share an id.
// Errors: AtomicFile's.
absl::Status WritePredictions(const std::string& path, const Split& split,
                              const std::vector<ImageDetections>& images,
                              const std::vector<int>& category_ids, std::string* warning);

}  // namespace yoke::engine
