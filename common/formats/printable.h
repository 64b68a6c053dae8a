// Text of a file in words for people: valid UTF-8, without control characters, not too long.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace yoke::formats {

// Control characters become blanks, bytes that are no UTF-8 question marks; cut at `bytes_max`.
std::string Printable(std::string_view text, size_t bytes_max = 200);

}  // namespace yoke::formats
