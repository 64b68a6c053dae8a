// The train task, from configuration to best and last weights, on one rank of a group.
#pragma once

#include "absl/status/statusor.h"
#include "server/engine/config.h"
#include "server/engine/distributed/group.h"
#include "server/engine/eval/metrics.h"
#include "server/engine/observer.h"

namespace yoke::engine {

struct TrainResult {
  int epochs = 0;                // finished, over all attempts
  int best_epoch = 0;            // 1-based
  double images_per_second = 0;  // training only, all ranks, mean after the first epoch
  DetectionMetrics metrics;      // of best
  bool stopped = false;          // StopSignal; last weights and state are saved
  bool early_stopped = false;    // patience
  double weights_checksum = 0;   // sum of |weights| of the live model, equal on all ranks
};

absl::StatusOr<TrainResult> RunTraining(const TrainConfig& config, at::Device device, Group& group,
                                        Observer& observer, const StopSignal& stop);

}  // namespace yoke::engine
