// Weights ready to find objects in batches of letterboxed images.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/engine/config.h"
#include "server/engine/eval/nms.h"
#include "server/engine/label/image_reader.h"
#include "server/engine/label/lanes.h"
#include "server/engine/model/detection_model.h"

namespace yoke::engine {

class Detector {
 public:
  // Reads, fuses and moves the weights. Errors: ReadWeights'; InvalidArgument for a value of
  // `config` that cannot be used, saying which are possible.
  static absl::StatusOr<Detector> Load(const LabelConfig& config, at::Device device);

  // Per image its detections in px of the photo, clipped to it, by descending confidence. REQUIRES:
  // ready inputs of one shape. Devices take them as one batch, CPU cores one by one.
  // ResourceExhausted: not enough memory. Internal: LibTorch's reason.
  absl::StatusOr<std::vector<std::vector<Detection>>> Detect(absl::Span<const LabelInput> batch);

  const std::vector<std::string>& names() const { return names_; }

 private:
  Detector(at::Device device, at::ScalarType type) : device_(device), type_(type) {}

  using Detections = std::vector<std::vector<Detection>>;
  absl::StatusOr<Detections> DetectAtOnce(absl::Span<const LabelInput> batch) const;
  absl::StatusOr<Detections> DetectOneByOne(absl::Span<const LabelInput> batch);

  at::Device device_;
  at::ScalarType type_;  // what the network computes in
  NmsOptions nms_;
  std::vector<std::string> names_;
  std::shared_ptr<DetectionModel> model_;
  std::unique_ptr<Lanes> lanes_;  // on CPUs
};

}  // namespace yoke::engine
