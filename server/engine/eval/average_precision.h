// One class's average precision at one IoU threshold.
#pragma once

#include <vector>

namespace yoke::engine {

// `recall` ascends with falling confidence, `precision` belongs to it. `classic`: the 8.1 sentinels
// (recall 1 with precision 0 at the end); else 8.4's, which add the last recall with precision 0.
double AveragePrecision(const std::vector<double>& recall, const std::vector<double>& precision,
                        bool classic);

}  // namespace yoke::engine
