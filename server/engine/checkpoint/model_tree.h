// A detector's weights as the object graph in which the reference keeps its models, so that it
// loads them as its own: module classes by their import paths, layers with their wiring.
#pragma once

#include "server/engine/checkpoint/torch_value.h"
#include "server/engine/checkpoint/weights.h"

namespace yoke::engine {

// The model object. REQUIRES: weights.state holds every entry of a YOLOv8 detector of weights.spec.
TorchValue ModelTree(const Weights& weights);

}  // namespace yoke::engine
