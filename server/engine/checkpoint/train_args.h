// The settings of a training as a checkpoint keeps them: by the reference's key names.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace yoke::engine {

// monostate: none.
using ArgValue = std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<int>>;
using ArgList = std::vector<std::pair<std::string, ArgValue>>;

// Every key of the reference's configuration (8.4.190) in its order: as given, else its default.
// Keys that it does not have are left out. Of a key given twice the last value counts.
ArgList CompleteArgs(const ArgList& given);

}  // namespace yoke::engine
