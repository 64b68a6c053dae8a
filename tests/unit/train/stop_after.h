// Asks a training to stop.
#pragma once

#include <vector>

#include "server/engine/observer.h"

namespace yoke::engine {

// Once `count` steps are in `steps`.
class StopAfter : public StopSignal {
 public:
  StopAfter(const std::vector<StepReport>& steps, size_t count) : steps_(steps), count_(count) {}
  bool requested() const override { return steps_.size() >= count_; }

 private:
  const std::vector<StepReport>& steps_;
  const size_t count_;
};

}  // namespace yoke::engine
