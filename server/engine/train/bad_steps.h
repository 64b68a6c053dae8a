// What follows iterations whose losses or gradients are not finite: their steps are left out and
// their images named; after some in a row the training goes back to its last good state.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "server/engine/distributed/group.h"
#include "server/engine/observer.h"
#include "server/engine/train/train_step.h"
#include "server/engine/train/training_setup.h"

namespace yoke::engine {

class BadSteps {
 public:
  // REQUIRES: all outlive it.
  BadSteps(TrainingSetup& setup, Group& group, Observer& observer, TrainStep& step)
      : s_(setup), group_(group), observer_(observer), step_(step) {}

  // Called by every rank for each iteration that was not finite: gradients are the same on all, so
  // all come to the same decision. OutOfRange: going back has not helped; says what to change.
  absl::Status Add(const FinishedIteration& iteration);
  // A good step was made.
  void Forget() { in_a_row_ = 0; }

 private:
  absl::Status RollBack();
  std::string NamesOf(const FinishedIteration& iteration) const;

  TrainingSetup& s_;
  Group& group_;
  Observer& observer_;
  TrainStep& step_;
  int in_a_row_ = 0;
  int64_t told_ = 0;  // warnings given
};

}  // namespace yoke::engine
