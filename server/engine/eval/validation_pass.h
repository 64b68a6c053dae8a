// One pass over a validation set with one network, or with several at once: images are decoded once
// and shown to each.
#pragma once

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/config.h"
#include "server/engine/data/loader.h"
#include "server/engine/distributed/group.h"
#include "server/engine/eval/class_map.h"
#include "server/engine/eval/detection.h"
#include "server/engine/eval/ensemble.h"
#include "server/engine/eval/shard.h"
#include "server/engine/loss/detection_loss.h"
#include "server/engine/model/detection_model.h"
#include "server/engine/observer.h"

namespace yoke::engine {

struct Network {
  DetectionModel* model = nullptr;
  ClassMap classes;  // in those of the data set
};

// Shown each batch of this rank, by its place among them, with what was found in each of its images
// (px of the batch's images).
using BatchWatch = std::function<void(int64_t position, const Batch& batch,
                                      const std::vector<std::vector<Detection>>& detections)>;

struct ValidationPass {
  std::vector<Network> networks;
  EnsembleOptions ensemble;             // of several
  int classes = 0;                      // of the data set
  const DetectionLoss* loss = nullptr;  // of a single network
  int64_t images_at_once = 0;           // through a network; 0: a whole batch
  BatchWatch watch;                     // may be empty
};

struct PassResult {
  Shard whole;  // of all ranks, the same on each
  bool stopped = false;
};

// `loader` is this rank's shard; it starts its epoch 0. The networks are put in eval mode and left
// there; no gradients. Detections are kept if `config.save_json`. Errors: those of the loader and
// of the group.
absl::StatusOr<PassResult> RunPass(const ValidationPass& pass, Loader& loader,
                                   const ValConfig& config, at::Device device, Group& group,
                                   Observer& observer, const StopSignal& stop);

}  // namespace yoke::engine
