// How a class is called in a picture.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/engine/plots/font.h"

namespace yoke::engine {

// The name. One that the face cannot show in full also tells its number: "□□ #12"; an empty one is
// "class 12".
std::string ShownName(const Font& font, const std::string& name, int64_t class_id);
// Of `names`, or "class 12" where there is none.
std::string ShownName(const Font& font, const std::vector<std::string>& names, int64_t class_id);

}  // namespace yoke::engine
