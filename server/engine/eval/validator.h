// Runs a model over a validation set on all ranks of a group and evaluates it.
#pragma once

#include <memory>

#include "server/engine/config.h"
#include "server/engine/data/loader.h"
#include "server/engine/distributed/group.h"
#include "server/engine/eval/metrics.h"
#include "server/engine/loss/detection_loss.h"
#include "server/engine/model/detection_model.h"
#include "server/engine/observer.h"

namespace yoke::engine {

struct ValidationResult {
  EvalResult eval;                                  // the same on every rank
  double box_loss = 0, cls_loss = 0, dfl_loss = 0;  // means over batches; 0 without a criterion
  double images_per_second = 0;
  bool stopped = false;
};

// `loader` is this rank's shard; it starts its epoch 0. `loss` may be null. The model is put in
// eval mode and left there; no gradients. Errors: those of the loader and of the group.
absl::StatusOr<ValidationResult> Validate(DetectionModel& model, Loader& loader,
                                          const std::vector<std::string>& names,
                                          const ValConfig& config, const DetectionLoss* loss,
                                          at::Device device, Group& group, Observer& observer,
                                          const StopSignal& stop);

// The whole `val` task: weights, data set, loader, validation.
absl::StatusOr<ValidationResult> RunValidation(const ValConfig& config, at::Device device,
                                               Group& group, Observer& observer,
                                               const StopSignal& stop);

}  // namespace yoke::engine
