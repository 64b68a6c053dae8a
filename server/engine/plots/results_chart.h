// results.png: losses and metrics over the epochs.
#pragma once

#include "absl/types/span.h"
#include "server/engine/plots/canvas.h"
#include "server/engine/plots/results_table.h"

namespace yoke::engine {

// Ten panels, two rows: the training losses, precision and recall over the validation losses, mAP50
// and mAP50-95. Points joined by a line, and a dotted one of Smoothed. Without epochs, or where no
// value is finite, a panel says so.
Figure DrawResults(const ResultsTable& table);

// Each value replaced by the mean of its neighbours, weighted by a Gaussian of 3 values' deviation,
// cut at 12; over the edges the outermost values go on. Values that are not finite have no weight.
std::vector<double> Smoothed(absl::Span<const double> values);

}  // namespace yoke::engine
