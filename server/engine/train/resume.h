// Between a training in memory and its state on disk.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "server/engine/checkpoint/state.h"
#include "server/engine/train/identity.h"
#include "server/engine/train/training_setup.h"

namespace yoke::engine {

// Everything a training needs to go on exactly as it would have, between any two iterations, on any
// number of ranks. Gradients accumulated since the last step are added up over the ranks, so every
// rank of `group` must call it.
absl::StatusOr<TrainState> CaptureState(const TrainingSetup& setup, const Progress& progress,
                                        Group& group);

// InvalidArgument: the state was saved with other classes or other images; says what differs.
absl::Status CheckData(const TrainState& state, const DataIdentity& now);

// The reverse of CaptureState. InvalidArgument: the state is of another network, or CheckData's.
absl::Status RestoreState(const TrainState& state, Group& group, TrainingSetup& setup,
                          Observer& observer);

// Images per iteration of the training saved.
int64_t BatchOf(const TrainState& state);

// Weights, averages and the optimiser's buffers alone.
void RestoreTensors(const TrainState& state, TrainingSetup& setup);

// The state that config.resume means. NotFound: there is none. InvalidArgument: that run, another
// one than config.run_dir, has no epoch left to train. `warning` names a damaged newer state.
absl::StatusOr<TrainState> LoadResumable(const TrainConfig& config, std::string* warning);

}  // namespace yoke::engine
