// Where a reader is: which attempt, and how far into each of its files. As text it is the resume token.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace yoke::streams {

enum class StreamKind : char { kLogs = 'L', kEvents = 'E' };

struct Position {
  int attempt = 0;                 // 0: nothing read yet
  std::map<int, int64_t> offsets;  // by rank; absent: 0
};

std::string EncodeToken(StreamKind kind, const std::string& job_id, const Position& position);

// InvalidArgument: mangled, of another job or of the other kind of stream.
absl::StatusOr<Position> DecodeToken(StreamKind kind, const std::string& job_id, const std::string& token);

}  // namespace yoke::streams
