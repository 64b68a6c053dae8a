// The pass of a batch through network and criterion and back, recorded once for each shape of batch
// and then launched as a whole: a small network on a fast device otherwise waits for the host,
// which launches a thousand kernels a step.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "server/engine/cuda/step_graph.h"
#include "server/engine/loss/detection_loss.h"

namespace yoke::engine {

class GraphedPass {
 public:
  static constexpr int kWarmUps = 3;       // passes of a shape before it is recorded
  static constexpr size_t kGraphsMax = 8;  // other shapes are not recorded
  static constexpr int64_t kBoxesLeast =
      16;  // ground truths an image: rounded up to a power of two

  // Adds to the gradients and returns the mean items (3). For inputs of one shape the device has to
  // do the same, whatever they hold, and nothing may wait for it.
  using Pass = std::function<at::Tensor(const at::Tensor& images_BCHW, const Targets& targets)>;

  GraphedPass(StepGraphFactory make_graph, Pass pass)
      : make_graph_(std::move(make_graph)), pass_(std::move(pass)) {}

  // What `pass` would do and return. Where recording fails, nothing is recorded any more; failure()
  // says why.
  at::Tensor Run(const at::Tensor& images_BCHW, const Targets& targets);

  const std::string& failure() const { return failure_; }

 private:
  struct Recorded {
    std::unique_ptr<StepGraph> graph;  // null: not yet
    int passes = 0;
    at::Tensor images_BCHW, items_3;
    Targets targets;
  };

  // Whether `one` has a graph now.
  bool Record(const at::Tensor& images_BCHW, const Targets& targets, Recorded& one);

  const StepGraphFactory make_graph_;
  const Pass pass_;
  std::map<std::vector<int64_t>, Recorded> by_shape_;  // of the images, and boxes
  std::string failure_;
};

}  // namespace yoke::engine
