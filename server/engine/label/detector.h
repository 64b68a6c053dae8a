// Weights, of one model or of several together, ready to find objects in batches of letterboxed
// images.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/engine/config.h"
#include "server/engine/eval/class_map.h"
#include "server/engine/eval/ensemble.h"
#include "server/engine/eval/nms.h"
#include "server/engine/label/image_reader.h"
#include "server/engine/model/detection_model.h"
#include "server/engine/model/inference_net.h"
#include "server/engine/model/lanes.h"

namespace yoke::engine {

// InvalidArgument: config.classes names one that the models, which know so many, have not.
absl::Status CheckKeptClasses(const LabelConfig& config, size_t classes);

class Detector {
 public:
  // Reads, fuses and moves the weights. Errors: LoadForInference's and MatchModels';
  // InvalidArgument for a value of `config` that cannot be used, saying which are possible.
  static absl::StatusOr<Detector> Load(const LabelConfig& config, at::Device device);

  // Per image its detections in px of the photo, clipped to it, by descending confidence. REQUIRES:
  // ready inputs of one shape. Devices take them as one batch, CPU cores one by one.
  // ResourceExhausted: not enough memory. Internal: LibTorch's reason.
  absl::StatusOr<std::vector<std::vector<Detection>>> Detect(absl::Span<const LabelInput> batch);

  // Of all models, see MatchModels.
  const std::vector<std::string>& names() const { return names_; }
  // For people: how the models' classes are matched.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  struct Member {
    std::shared_ptr<DetectionModel> model;  // null where there is a `net`
    std::unique_ptr<InferenceNet> net;      // on CPUs, where it has the type
    ClassMap classes;                       // in `names_`
    NmsOptions nms;
    bool asked = true;  // has a vote, and knows a class that is to be kept
  };
  using Detections = std::vector<std::vector<Detection>>;

  Detector(at::Device device, at::ScalarType type) : device_(device), type_(type) {}

  absl::Status LoadMembers(const LabelConfig& config);
  void SetUpSuppression(const LabelConfig& config);
  absl::StatusOr<Detections> DetectAtOnce(absl::Span<const LabelInput> batch) const;
  absl::StatusOr<Detections> DetectOneByOne(absl::Span<const LabelInput> batch);
  // By member and image, in px of the network's input. Throws what LibTorch throws.
  std::vector<Detections> FindAll(absl::Span<const LabelInput> batch) const;
  Detections FindByNet(const Member& member, absl::Span<const LabelInput> batch) const;

  at::Device device_;
  at::ScalarType type_;  // what the network computes in
  std::vector<std::string> names_, notes_;
  std::vector<Member> members_;
  EnsembleOptions ensemble_;      // of several
  std::unique_ptr<Lanes> lanes_;  // on CPUs
};

}  // namespace yoke::engine
