// What a checkpoint of a YOLOv8 detector holds: its whole state by name, its class names, what it
// says about itself. Reads the object graphs of Ultralytics 8.0 to 8.4 and plain state_dicts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/formats/detector_layout.h"
#include "common/formats/torch_file.h"

namespace yoke::formats {

struct DetectorFile {
  DetectorShape shape;
  std::vector<std::string> names;  // one per class, printable; "class3" where there is none
  std::map<std::string, StoredTensor> state;    // every entry of DetectorState(shape), and no other
  std::map<std::string, std::string> metadata;  // texts and integers beside the model, as text
};

// The averaged weights (ema) are preferred to the raw ones (model). Views into `file`.
// InvalidArgument: no YOLOv8 detector (says what it is: segmentation, YOLOv5, folded ...), an entry
// is missing or of another shape (names it), or is refused by TorchFile::Tensor.
absl::StatusOr<DetectorFile> ReadDetector(const TorchFile& file);

}  // namespace yoke::formats
