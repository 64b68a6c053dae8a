// labels.jpg: what a data set's labels look like.
#pragma once

#include <string>
#include <vector>

#include "server/engine/data/dataset.h"
#include "server/engine/plots/canvas.h"

namespace yoke::engine {

// Four panels: instances per class; up to 1000 boxes drawn over each other about one centre, taken
// evenly from the set; where centres lie, and which widths and heights there are, both as shares of
// the image in 50 x 50 bins, the darker the more (a bin with anything in it is never white).
Figure DrawLabels(const Split& split, const std::vector<std::string>& names);

}  // namespace yoke::engine
