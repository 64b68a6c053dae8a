// What people look at in the run folder of a training, kept while it goes on: args.yaml,
// results.csv, weights, TensorBoard's records and pictures.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/engine/eval/validation_pass.h"
#include "server/engine/eval/validator.h"
#include "server/engine/observer.h"
#include "server/engine/plots/run_plots.h"
#include "server/engine/train/training_setup.h"

namespace yoke::engine {

// Of the leading rank. Files that later work relies on fail with an error; a picture that cannot be
// made is a warning.
class RunRecord {
 public:
  // REQUIRES: `setup` and `observer` outlive it, and `setup` stays where it is.
  RunRecord(TrainingSetup& setup, Observer& observer);

  absl::Status Begin();
  // `epoch` and `position` from 0.
  void OnTrainBatch(int epoch, int64_t position, const Batch& batch);
  // For the validation after `epoch`; kNoEpoch: for the one of the best weights at the end.
  BatchWatch ValidationWatch(int epoch);
  absl::Status OnEpoch(const EpochReport& report, const EvalResult& validated);
  // Writes the average as weights/NAME, `epoch` epochs trained; returns the path.
  absl::StatusOr<std::string> SaveWeights(const std::string& name, int epoch);
  // The training is over and not to be continued; `best`: the evaluation of the best weights,
  // measured after `epoch` epochs.
  absl::Status End(int epoch, const EvalResult& best);

  static constexpr int kNoEpoch = -1;

 private:
  TrainingSetup& s_;
  std::unique_ptr<RunPlots> plots_;                      // null with plots=false
  absl::Status tensorboard_;                             // of the last picture
  std::vector<std::pair<std::string, double>> metrics_;  // of the last epoch
};

}  // namespace yoke::engine
