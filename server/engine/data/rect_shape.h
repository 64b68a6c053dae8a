// The shape of a batch of images of similar aspect ratio.
#pragma once

#include "opencv2/core/types.hpp"
#include "server/engine/data/dataset.h"

namespace yoke::engine {

// height / width, before any resize.
double AspectOf(const Sample& sample);

// The smallest shape, in multiples of 32 px, that images resized to a long side of `imgsz` fit in
// if their aspects lie between `low` and `high`: the reference's rule, with `pad` 32nds added
// before rounding up (training 0, validation 0.5).
cv::Size RectShape(double low, double high, int imgsz, double pad);

}  // namespace yoke::engine
