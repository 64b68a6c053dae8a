// Everything a training owns, made in order before its first iteration.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "server/engine/config.h"
#include "server/engine/data/loader.h"
#include "server/engine/distributed/gradient_exchange.h"
#include "server/engine/loss/detection_loss.h"
#include "server/engine/train/early_stop.h"
#include "server/engine/train/ema.h"
#include "server/engine/train/flat_model.h"
#include "server/engine/train/grad_scaler.h"
#include "server/engine/train/graphed_pass.h"
#include "server/engine/train/identity.h"
#include "server/engine/train/optimizer.h"
#include "server/engine/train/precision.h"
#include "server/engine/train/progress.h"
#include "server/engine/train/run_folder.h"
#include "server/engine/train/schedule.h"
#include "server/engine/train/tensorboard_file.h"
#include "server/engine/train/training_data.h"

namespace yoke::engine {

// What a state must agree on with the run that continues it.
struct Identity {
  ModelSpec spec;
  std::string optimizer;  // kind
  DataIdentity data;
};

struct TrainingSetup {
  TrainConfig config;  // batch and epochs are those decided on
  TrainingData data;
  std::shared_ptr<DetectionModel> model;
  std::unique_ptr<FlatModel> flat;
  std::unique_ptr<Ema> ema;
  std::unique_ptr<Loader> train_loader;
  std::unique_ptr<Loader> val_loader;  // null without images for it
  std::unique_ptr<DetectionLoss> loss;
  std::unique_ptr<Schedule> schedule;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<GradScaler> scaler;
  std::unique_ptr<StatisticsExchange> statistics;  // with synchronised BatchNorm
  std::unique_ptr<GradientExchange> exchange;
  StepGraphFactory make_graph;  // null: passes are not recorded
  Precision precision;
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

// The weights that the training began with, on every rank: fresh ones or those of config.model.
absl::Status ResetWeights(TrainingSetup& setup, Group& group, Observer& observer);

// The first epoch without mosaic; -1: all have it.
int CloseMosaicFrom(const TrainConfig& config);

// Another number of epochs, between two of them: the schedule is made anew, mosaic closes
// elsewhere.
void SetEpochs(int epochs, TrainingSetup& setup);

}  // namespace yoke::engine
