// The formulas of each optimiser.
#pragma once

#include <memory>

#include "server/engine/train/optimizer.h"

namespace yoke::engine {

// Null: unknown kind.
std::unique_ptr<Optimizer> MakeOptimizerRule(const OptimizerConfig& config, FlatModel& flat);

}  // namespace yoke::engine
