// One iteration: forward, criterion, backward, and when it is due the exchange of gradients and the
// step. Survives running out of memory and numbers that are not finite.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/train/stage_clock.h"
#include "server/engine/train/training_setup.h"

namespace yoke::engine {

// For tests: told what is trained on, and called where something may go wrong.
class StepFaults {
 public:
  virtual ~StepFaults() = default;
  // Before an iteration on `batch`, this rank's images.
  virtual void BeforeIteration(int64_t iteration, const Batch& batch) {}
  // Before part `part` of `parts` of an iteration. May throw c10::OutOfMemoryError, and may change
  // the gradients accumulated so far.
  virtual void BeforeForward(int64_t iteration, int part, int parts, at::Tensor gradients) {}
  // After the backward pass of all parts, while the exchange may be under way. May throw.
  virtual void AfterBackward(int64_t iteration, const at::Tensor& gradients) {}
};

// What ranks tell each other between iterations; true as soon as one of them says so.
struct Wishes {
  bool stop = false;     // end, saving where it is
  bool save = false;     // save the state, it is time
  bool time_up = false;  // the time given is used up
};

// An iteration whose numbers have arrived from the device.
struct FinishedIteration {
  int epoch = 0;
  int64_t position = 0;  // in the epoch
  double box = 0, cls = 0, dfl = 0;
  bool stepped = false;
  bool finite = true;            // the gradients, if stepped; the losses else
  std::vector<int64_t> samples;  // of this rank's images
};

class TrainStep {
 public:
  TrainStep(TrainingSetup& setup, at::Device device, Group& group, Observer& observer,
            StageClock& clock, StepFaults* faults);

  // Trains on `batch`. Advances progress.iteration and .last_step. `mine`: this rank's wishes;
  // returns those of all once they have been exchanged in this iteration, which happens on CPUs
  // always, on devices with each step. ResourceExhausted: not even one image at a time fits.
  // Unavailable: a peer was lost.
  absl::StatusOr<Wishes> Run(int epoch, int64_t position, const Batch& batch, const Wishes& mine);

  // Iterations that finished since the last call, in order. On devices it waits for them, so it is
  // asked for seldom; due() says when.
  std::vector<FinishedIteration> Drain();
  bool due() const { return pending_.size() >= drain_every_; }

  // Gradients accumulated so far are worth nothing any more.
  void Forget();

 private:
  struct Pending {
    FinishedIteration iteration;
    at::Tensor items_3;    // float32, device
    at::Tensor found_inf;  // undefined if not stepped
  };

  struct Inputs {
    at::Tensor images_BCHW;
    Targets targets;
  };

  Inputs Prepare(int epoch, int64_t position, const Batch& batch);
  // Of images and targets that fit at once: adds to the gradients, returns the mean items.
  at::Tensor PassPart(const at::Tensor& images_BCHW, const Targets& targets, bool exchanges);
  // The same, recorded and replayed.
  at::Tensor Graphed(const at::Tensor& images_BCHW, const Targets& targets);
  // Mean items over the batch. Throws on running out of memory.
  at::Tensor Pass(const Inputs& inputs, int64_t iteration, bool exchanges);
  void Step(const IterationRates& rates, Pending& pending);
  void KeepPlace();
  void GoBack();

  TrainingSetup& s_;
  const at::Device device_;
  Group& group_;
  Observer& observer_;
  StageClock& clock_;
  StepFaults* const faults_;
  const size_t drain_every_;
  std::unique_ptr<GraphedPass> graphed_;  // null: nothing is recorded
  std::vector<Pending> pending_;
  bool accumulated_ = false;   // gradients of earlier iterations wait for a step
  at::Tensor kept_gradients_;  // before this iteration, if accumulated_
  at::Tensor kept_buffers_;    // before this iteration
  at::Tensor window_buffers_;  // before the first iteration that waits for a step
};

}  // namespace yoke::engine
