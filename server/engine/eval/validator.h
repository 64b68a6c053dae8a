// Runs models over a validation set on all ranks of a group and evaluates them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/engine/config.h"
#include "server/engine/data/loader.h"
#include "server/engine/distributed/group.h"
#include "server/engine/eval/coco_metrics.h"
#include "server/engine/eval/metrics.h"
#include "server/engine/eval/validation_pass.h"
#include "server/engine/loss/detection_loss.h"
#include "server/engine/model/detection_model.h"
#include "server/engine/observer.h"

namespace yoke::engine {

struct MemberResult {
  std::string model;  // path of its weights
  double weight = 1;  // in the ensemble
  EvalResult eval;    // by itself, without a confusion matrix
};

// The same on every rank.
struct ValidationResult {
  EvalResult eval;                                  // of the model, or of all models together
  std::vector<MemberResult> members;                // of several models, in their order
  std::optional<CocoMetrics> coco;                  // with save_json
  double box_loss = 0, cls_loss = 0, dfl_loss = 0;  // means over batches; 0 without a criterion
  double images_per_second = 0;
  bool stopped = false;
};

// `loader` is this rank's shard; it starts its epoch 0. The model has as many classes as `names`;
// it is put in eval mode and left there; no gradients. `loss` may be null. Of `config` conf, iou,
// max_det and single_cls count. `watch` may be empty. Errors: those of the loader and of the group.
absl::StatusOr<ValidationResult> Validate(DetectionModel& model, Loader& loader,
                                          const std::vector<std::string>& names,
                                          const ValConfig& config, const DetectionLoss* loss,
                                          at::Device device, Group& group, Observer& observer,
                                          const StopSignal& stop, BatchWatch watch = {});

// The whole `val` task: weights, data set, loader, validation, pictures, predictions.json. Several
// models see the same batches, are measured each, and together as config.ensemble says. Classes are
// matched by name, see class_map.h; how is logged. InvalidArgument: values, weights or classes that
// cannot be used. Else the errors of the data set, the weights and the run folder.
absl::StatusOr<ValidationResult> RunValidation(const ValConfig& config, at::Device device,
                                               Group& group, Observer& observer,
                                               const StopSignal& stop);

}  // namespace yoke::engine
