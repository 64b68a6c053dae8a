// Which entries the state of a YOLOv8 detector has, by name and shape, as plain numbers: what a
// file must hold to be one. The networks themselves are in server/engine/model.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace yoke::formats {

// How large a network of a scale is, beside that of scale l. Figures: the reference's yolov8.yaml.
struct DetectorScale {
  char name;
  double depth, width;  // factors of the repeats and of the channels
  int max_channels;     // before the factor

  int Channels(int wide) const;  // a multiple of 8
  int Repeats(int deep) const;   // at least 1
};
// Null: no such scale.
const DetectorScale* FindDetectorScale(char name);

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
