// Reading .pt weights of detectors without executing anything, transferring them into a model, and
// writing weights that the reference loads as its own.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ATen/ATen.h"
#include "absl/status/statusor.h"
#include "server/engine/checkpoint/class_transfer.h"
#include "server/engine/checkpoint/train_args.h"
#include "server/engine/model/detection_model.h"

namespace yoke::engine {

struct Weights {
  ModelSpec spec;
  std::vector<std::string> names;               // class id -> name
  std::map<std::string, at::Tensor> state;      // "model.0.conv.weight" -> float32 CPU tensor
  std::map<std::string, std::string> metadata;  // date, version, license, epoch ... as text
};

// Reads the checkpoints of Ultralytics 8.0 to 8.4, plain state_dicts and our own. The state is
// whole and fits a DetectionModel of `spec`. InvalidArgument: what TorchFile::Open and ReadDetector
// refuse, with the path and the reason. NotFound: no such file.
absl::StatusOr<Weights> ReadWeights(const std::string& path);

// The network that a training on `class_count` classes begins with. `by_name`: as 8.4 of the
// reference makes it, with class branches as wide as the weights' ones, which then fit; else as 8.1
// does, as wide as a fresh network's.
ModelSpec SpecFor(const Weights& from, int class_count, bool by_name);

struct TransferReport {
  int copied = 0, total = 0;         // state_dict entries; those copied by class name count
  std::vector<std::string> skipped;  // names whose shape differed or that are missing
};
// Copies every entry whose name and shape match, BN statistics included. Where `classes` is by
// name, the last layers of the class branches take over the rows of the classes that it maps; the
// rows of new classes stay as they are.
TransferReport Transfer(const Weights& from, DetectionModel& to, const ClassTransfer& classes = {});

// The network that `from`, read from `path`, is the whole state of. InvalidArgument: something is
// missing or of another shape.
absl::StatusOr<std::shared_ptr<DetectionModel>> ModelOf(const Weights& from,
                                                        const std::string& path);

// What a checkpoint says about the training that it comes from.
struct TrainingRecord {
  ArgList args;                                         // settings, completed by CompleteArgs
  std::vector<std::pair<std::string, double>> metrics;  // "metrics/mAP50(B)" ... "fitness"
  // Columns of results.csv in its order, a value an epoch.
  std::vector<std::pair<std::string, std::vector<double>>> results;
};

// Writes a checkpoint of a finished training as the reference stores one: the model as its object
// graph, fp16, no optimizer; keys in the order of 8.4. Of `weights.metadata`, date, version,
// license and docs take their places (version and docs have defaults), all others follow at the
// end. REQUIRES: `weights.state` is whole and not folded; its metadata has no key of the
// reference's. Atomic: temp, fsync, rename, fsync of the folder. ResourceExhausted: disk full.
absl::Status WriteWeights(const std::string& path, const Weights& weights,
                          const TrainingRecord& training = {});

}  // namespace yoke::engine
