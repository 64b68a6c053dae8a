// Debian's abseil is built as C++14: its absl::string_view is a type of its own, and neither it nor
// std::string_view turns into the other by itself.
#pragma once

#include <string_view>

#include "absl/strings/string_view.h"

namespace yoke {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace yoke
