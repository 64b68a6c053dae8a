// Reading .pt weights of detectors without executing anything, transferring them into a model, and
// writing weights that the reference loads as its own.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "absl/status/statusor.h"
#include "server/engine/model/detection_model.h"

namespace yoke::engine {

struct Weights {
  ModelSpec spec;
  std::vector<std::string> names;               // class id -> name
  std::map<std::string, at::Tensor> state;      // "model.0.conv.weight" -> float32 CPU tensor
  std::map<std::string, std::string> metadata;  // date, version, license, epoch ... as text
};

// Reads Ultralytics' checkpoints (EMA preferred over model) and our own.
// InvalidArgument: not a zip, truncated, a pickle that names anything outside the allow-list (the
// message names it), not a YOLOv8 detector (the message says what it is: segmentation, YOLOv5 ...).
// NotFound: no such file.
absl::StatusOr<Weights> ReadWeights(const std::string& path);

struct TransferReport {
  int copied = 0, total = 0;         // state_dict entries
  std::vector<std::string> skipped;  // names whose shape differed or that are missing
};
// Copies every entry whose name and shape match, BN statistics included.
TransferReport Transfer(const Weights& from, DetectionModel& to);

// Writes a checkpoint of a finished training as the reference stores one: the model as its object
// graph, fp16, no optimizer. `metadata` becomes further entries; task, data and imgsz its
// train_args. REQUIRES: `weights.state` is complete and not folded; no metadata is called epoch.
// Atomic: temp, fsync, rename, fsync of the folder.
absl::Status WriteWeights(const std::string& path, const Weights& weights);

}  // namespace yoke::engine
