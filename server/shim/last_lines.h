// The end of a log, for a record that is read long after.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace yoke::shim {

// How many of them records and reports keep.
inline constexpr size_t kLastLines = 50;

// The last lines of the file, at most `count` and 64 KiB; none if it cannot be read.
std::vector<std::string> LastLines(const std::string& path, size_t count);

}  // namespace yoke::shim
