// Whole files in memory, and their replacement in one step.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace yoke::engine {

// The first `limit` bytes, or all of it. NotFound: no such file. InvalidArgument: no regular file, or over 4 GiB.
// PermissionDenied, Unavailable: the system's reason. Messages start with the path.
absl::StatusOr<std::vector<uint8_t>> ReadFileBytes(const std::string& path, size_t limit = SIZE_MAX);

// Of a label file, or a list of names or files: a longer one is none.
inline constexpr size_t kTextBytesMax = size_t{64} << 20;

// As ReadFileBytes, but InvalidArgument for a file over `max_bytes`.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_bytes);

// Writes the file `target`, which `creation` (O_EXCL or O_TRUNC) makes anew; what was begun is left after an error.
// Messages name `path`, for a target that stands in for it. Not synced.
absl::Status WriteFile(const std::string& target, int creation, std::string_view bytes, const std::string& path);

// Writes beside `path`, syncs and renames: a reader sees the old bytes or the new ones.
absl::Status ReplaceFile(const std::string& path, std::string_view bytes);

// absl::Status of errno, "PATH: cannot WHAT: reason".
absl::Status FileError(const std::string& path, const char* what, int error);

}  // namespace yoke::engine
