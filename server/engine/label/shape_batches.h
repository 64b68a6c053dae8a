// Sorts images into batches of one shape each, so that no result depends on an image's neighbours.
#pragma once

#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include "server/engine/label/image_reader.h"

namespace yoke::engine {

class ShapeBatches {
 public:
  explicit ShapeBatches(size_t batch) : batch_(batch) {}

  // Takes a ready image. Returns a batch if one is full, or if too many images wait; else nothing.
  std::vector<LabelInput> Add(LabelInput input);
  // The largest batch of those that wait; empty at the end.
  std::vector<LabelInput> TakeLargest();

 private:
  using Shape = std::pair<int, int>;  // height, width

  const size_t batch_;
  size_t waiting_ = 0;
  std::map<Shape, std::vector<LabelInput>> by_shape_;
};

}  // namespace yoke::engine
