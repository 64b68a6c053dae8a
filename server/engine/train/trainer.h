// The training loop.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "server/engine/config.h"
#include "server/engine/distributed/group.h"
#include "server/engine/observer.h"
#include "server/engine/train/train_step.h"

namespace yoke::engine {

struct TrainResult {
  int epochs = 0;                // trained, over all attempts
  int best_epoch = 0;            // 1-based
  double images_per_second = 0;  // training only, all ranks, mean after the first epoch
  DetectionMetrics metrics;      // of best
  bool stopped = false;          // StopSignal; last weights and state are saved
  bool early_stopped = false;    // patience
  // Sum of |weights| of the live model, equal on all ranks; but of a training stopped within an
  // epoch, whose running statistics are each rank's own.
  double weights_checksum = 0;
  int64_t batch = 0;          // images per iteration over all ranks
  std::string precision;      // "fp32", "bf16", "fp16"
  int64_t skipped_steps = 0;  // optimiser steps left out as not finite
  int rollbacks = 0;          // returns to the last good state
  int parts = 1;              // that each rank's batch is computed in at the end
  // Of this rank: StageClock's, and the CPU seconds of the loader's threads as "decode" and
  // "augment".
  std::map<std::string, double> stage_seconds;
};

// Leaves weights/, results.csv, args.yaml and checkpoints/ in config.run_dir, of which rank 0
// writes. Errors: those of SetUpTraining; OutOfRange: numbers stay not finite whatever is done;
// ResourceExhausted: not even one image fits into memory; Unavailable: a peer was lost.
absl::StatusOr<TrainResult> RunTraining(const TrainConfig& config, at::Device device, Group& group,
                                        Observer& observer, const StopSignal& stop,
                                        StepFaults* faults = nullptr);

// The same from a setup that is there already, so that a caller may put other parts into it.
absl::StatusOr<TrainResult> RunTraining(TrainingSetup setup, at::Device device, Group& group,
                                        Observer& observer, const StopSignal& stop,
                                        StepFaults* faults = nullptr);

}  // namespace yoke::engine
