// What a rank found in its part of a data set, and how the parts become the whole.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/distributed/group.h"
#include "server/engine/eval/confusion_matrix.h"
#include "server/engine/eval/metrics.h"
#include "server/engine/eval/predictions.h"

namespace yoke::engine {

struct Shard {
  std::vector<ImageResult> images;                // of the model, or of all models together
  std::vector<std::vector<ImageResult>> members;  // of each of several models
  ConfusionMatrix confusion;
  std::vector<ImageDetections> detections;          // where they are asked for
  double box_loss = 0, cls_loss = 0, dfl_loss = 0;  // sums over batches
  int64_t batches = 0;
};

// The shards of all ranks in their order, on every rank. REQUIRES: the same models and classes.
absl::StatusOr<Shard> Gather(const Shard& mine, Group& group);

}  // namespace yoke::engine
