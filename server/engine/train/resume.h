// Between a training in memory and its state on disk.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "server/engine/checkpoint/state.h"
#include "server/engine/model/detection_model.h"
#include "server/engine/observer.h"
#include "server/engine/train/early_stop.h"
#include "server/engine/train/ema.h"
#include "server/engine/train/identity.h"
#include "server/engine/train/optimizer.h"

namespace yoke::engine {

// Where a training is, apart from its tensors. Taken at the end of an epoch.
struct Progress {
  int epochs_done = 0;
  int64_t iteration = 0;          // of the next iteration, over the whole run
  int64_t last_step = -1;         // iteration of the last optimiser step
  double seconds = 0;             // trained so far, over all attempts
  DetectionMetrics best_metrics;  // of the best epoch
};

// What a state must agree on with the run that continues it.
struct Identity {
  ModelSpec spec;
  std::string optimizer;  // kind
  DataIdentity data;
};

// Everything a training needs to go on exactly as it would have.
TrainState CaptureState(const Progress& progress, const EarlyStop& stop, const Identity& identity,
                        DetectionModel& model, Ema& ema, const Optimizer& optimizer);

// InvalidArgument: the state was saved with other classes or other images; says what differs.
absl::Status CheckData(const TrainState& state, const DataIdentity& now);

// The reverse of CaptureState. InvalidArgument: the state is of another network, or CheckData's.
absl::StatusOr<Progress> RestoreState(const TrainState& state, const Identity& identity,
                                      EarlyStop& stop, DetectionModel& model, Ema& ema,
                                      Optimizer& optimizer, Observer& observer);

}  // namespace yoke::engine
