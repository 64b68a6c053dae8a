// train_batchN.jpg, val_batchN_labels.jpg, val_batchN_pred.jpg: what goes into the network, with
// boxes.
#pragma once

#include <string>
#include <vector>

#include "server/engine/data/loader.h"
#include "server/engine/eval/detection.h"
#include "server/engine/plots/canvas.h"

namespace yoke::engine {

// So many images of a batch are shown at most.
inline constexpr int kMosaicImagesMax = 16;

struct MosaicText {
  std::vector<std::string> classes;  // names by id
  std::vector<std::string>
      images;                // file names by place in the batch; fewer or empty: no name is shown
  bool confidences = false;  // after the class name
};

// A square grid, row by row, at most 1920 px a side; small images are magnified. `boxes`: for each
// image, in px of the batch's images. Names of boxes never cover each other: each stands at the
// first free of several places around its box, those of confident (without confidences: large)
// boxes first; a box without a free place stays without.
Figure DrawMosaic(const Batch& batch, const std::vector<std::vector<Detection>>& boxes,
                  const MosaicText& text);

// The batch's labels as boxes of its images.
std::vector<std::vector<Detection>> LabelBoxes(const Batch& batch);

}  // namespace yoke::engine
