// Which entries the state of a YOLOv8 detector has, by name and shape, as plain numbers: what a
// file must hold to be one. The networks themselves are in server/engine/model.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace yoke::formats {

struct DetectorShape {
  char scale = 'n';      // n s m l x
  int class_count = 80;  // at least 1
  int class_width = 80;  // channels of the class branches
};

// The scale whose first layer has that many channels; '\0' for none.
char ScaleOfFirstLayer(int64_t channels);

// "model.0.conv.weight" -> {16, 3, 3, 3} ...; num_batches_tracked has no dimensions.
std::map<std::string, std::vector<int64_t>> DetectorState(const DetectorShape& shape);

}  // namespace yoke::formats
