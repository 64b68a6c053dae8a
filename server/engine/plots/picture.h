// A picture as it lies in the run folder.
#pragma once

#include <string>

namespace yoke::engine {

struct Picture {
  std::string name;           // "train_batch0", "results"
  std::string bytes;          // PNG or JPEG
  int width = 0, height = 0;  // px
  int epoch = 0;              // 1-based, of when it was drawn; 0: before or outside a training
};

}  // namespace yoke::engine
