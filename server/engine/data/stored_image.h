// An image as loaders keep it.
#pragma once

#include "opencv2/core/mat.hpp"
#include "server/engine/data/image.h"

namespace yoke::engine {

struct StoredImage {
  cv::Mat bgr;         // resized to the network's long side; never written to: shared
  ImageSize original;  // px before the resize
};

}  // namespace yoke::engine
