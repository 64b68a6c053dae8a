// Everything a training owns, made in order before its first iteration.
#pragma once

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "server/engine/config.h"
#include "server/engine/data/loader.h"
#include "server/engine/distributed/gradient_reducer.h"
#include "server/engine/loss/detection_loss.h"
#include "server/engine/train/resume.h"
#include "server/engine/train/run_folder.h"
#include "server/engine/train/schedule.h"
#include "server/engine/train/tensorboard_file.h"
#include "server/engine/train/training_data.h"

namespace yoke::engine {

struct TrainingSetup {
  TrainingData data;
  std::shared_ptr<DetectionModel> model;
  std::unique_ptr<Ema> ema;
  std::unique_ptr<Loader> train_loader;
  std::unique_ptr<Loader> val_loader;  // null with val=false
  std::unique_ptr<DetectionLoss> loss;
  std::unique_ptr<Schedule> schedule;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<GradientReducer> reducer;
  std::optional<at::ScalarType> amp;
  Identity identity;
  EarlyStop early_stop;
  Progress progress;  // where to begin
  ResultsFile results;
  TensorBoardFile tensorboard;
};

// On every rank of `group`; all end with the same weights. With config.resume, from its state.
// Errors: those of data set, weights and state, each naming the file.
absl::StatusOr<TrainingSetup> SetUpTraining(const TrainConfig& config, at::Device device,
                                            Group& group, Observer& observer);

// The state that config.resume means. NotFound: there is none. InvalidArgument: that run, another
// one than config.run_dir, has no epoch left to train. `warning` names a damaged newer state.
absl::StatusOr<TrainState> LoadResumable(const TrainConfig& config, std::string* warning);

// Copies rank 0's BatchNorm statistics to all ranks: each has seen other images.
absl::Status BroadcastBuffers(DetectionModel& model, Group& group);

}  // namespace yoke::engine
