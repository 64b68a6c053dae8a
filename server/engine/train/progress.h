// Where a training is, apart from its tensors.
#pragma once

#include <cstdint>

#include "server/engine/observer.h"

namespace yoke::engine {

// Running means over iterations.
struct LossMeans {
  double box = 0, cls = 0, dfl = 0;
  int64_t count = 0;

  void Add(double box_loss, double cls_loss, double dfl_loss) {
    const auto n = static_cast<double>(count++);
    box = (box * n + box_loss) / (n + 1);
    cls = (cls * n + cls_loss) / (n + 1);
    dfl = (dfl * n + dfl_loss) / (n + 1);
  }
};

struct Progress {
  int epochs_done = 0;
  int64_t position = 0;           // iterations done of the epoch that follows
  int64_t iteration = 0;          // of the next iteration, over the whole run
  int64_t last_step = -1;         // iteration of the last optimiser step
  LossMeans losses;               // of the epoch begun
  double seconds = 0;             // trained so far, over all attempts
  DetectionMetrics best_metrics;  // of the best epoch
  int64_t skipped_steps = 0;      // optimiser steps left out as not finite
  int rollbacks = 0;              // returns to the last good state
  int parts = 1;                  // that a rank's batch is computed in, since memory ran out
};

}  // namespace yoke::engine
