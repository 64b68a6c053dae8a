// The export task: weights in a form that other programs read.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "server/engine/config.h"
#include "server/engine/observer.h"

namespace yoke::engine {

struct ExportResult {
  std::string path;  // absolute
  int64_t bytes = 0;
};

// What can be said before the weights are read. InvalidArgument: a key out of range; config.out is
// a folder, no regular file, or the weights themselves.
absl::Status CheckExport(const ExportConfig& config);

// Writes config.out, whole or not at all, and the folders above it. An earlier file there is
// replaced. format=onnx: the folded network in float32; output, names and shapes as Yolov8Graph
// describes them. format=safetensors: every entry of the state_dict, floats as float32 or, if
// `half`, float16; class names (JSON), stride, scale, nc and task in its metadata.
// Errors: CheckExport's; ReadWeights'; InvalidArgument: weights that are incomplete or, with
// `half`, beyond float16's range; ResourceExhausted: disk full; PermissionDenied: the folder.
absl::StatusOr<ExportResult> RunExport(const ExportConfig& config, Observer& observer);

}  // namespace yoke::engine
