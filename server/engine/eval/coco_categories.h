// What COCO's files call a class.
#pragma once

#include <string>
#include <vector>

namespace yoke::engine {

// Class id -> category id of a predictions file: COCO's own numbers (1 to 90, with gaps) if the
// names are its 80 in their order, else 1, 2, 3 ... as the reference (8.4) counts.
std::vector<int> CategoryIds(const std::vector<std::string>& names);

}  // namespace yoke::engine
