// Weights made ready to find objects.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "absl/status/statusor.h"
#include "server/engine/model/detection_model.h"

namespace yoke::engine {

struct InferenceModel {
  std::shared_ptr<DetectionModel> model;  // in eval mode, batch norms folded, on its device
  std::vector<std::string> names;         // class id -> name
};

// Errors: ReadWeights'; InvalidArgument if tensors are missing or of another shape. Internal: the
// device takes no model, for LibTorch's reason.
absl::StatusOr<InferenceModel> LoadForInference(const std::string& path, at::Device device,
                                                at::ScalarType type);

}  // namespace yoke::engine
