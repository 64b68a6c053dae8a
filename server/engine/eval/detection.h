// What a detector finds.
#pragma once

namespace yoke::engine {

struct Detection {
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;  // network input px, unclipped
  float confidence = 0;
  int class_id = 0;
};

}  // namespace yoke::engine
