// What an epoch came to, by the reference's column names and in its order.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "server/engine/observer.h"

namespace yoke::engine {

// "train/box_loss" ... "lr/pg2"; without the epoch and the time. Losses and metrics are rounded to
// 5 decimals.
std::vector<std::pair<std::string, double>> EpochColumns(const EpochReport& report);

// What the epoch's validation came to: the columns "metrics/..." and "val/...", then "fitness".
std::vector<std::pair<std::string, double>> EpochMetrics(const EpochReport& report);

}  // namespace yoke::engine
