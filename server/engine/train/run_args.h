// The settings of a training under the reference's key names, for args.yaml and for checkpoints.
#pragma once

#include "server/engine/checkpoint/train_args.h"
#include "server/engine/config.h"

namespace yoke::engine {

// The keys that the reference knows and that mean the same there. Mixed precision is on or off;
// a cache is off, "ram" or "disk".
ArgList ArgsOf(const TrainConfig& config);

// What other programs do not know: the recipe and each of its changes, and other keys of our own.
ArgList OwnArgsOf(const TrainConfig& config);

}  // namespace yoke::engine
