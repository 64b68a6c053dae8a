// Names and ids of jobs. An id is 128 random bits in lower-case base32 (26 characters), so that it cannot be
// guessed; order comes from JobRecord::sequence.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace yoke::jobs {

std::string NewJobId();
// For new ids of jobs that are submitted together. Those of a large batch get the same
// kMinPrefixLength first characters, which leaves 108 random bits: in an index that is in the order
// of ids they lie side by side.
void BeginAlike(std::vector<std::string>& ids);
// Random as well: marks all processes and files of an attempt.
std::string NewRunId();

inline constexpr size_t kJobIdLength = 26;
inline constexpr size_t kMinPrefixLength = 4;
inline constexpr size_t kLargeBatch = 64;

// "jobs/x" -> "x"; "x" -> "x". InvalidArgument unless it is a possible id or a prefix of at least
// kMinPrefixLength characters.
absl::StatusOr<std::string> ParseJobName(absl::string_view name_or_id);
std::string JobName(absl::string_view id);                          // "jobs/x"
std::string AttemptName(absl::string_view id, int attempt);         // "jobs/x/attempts/1"

}  // namespace yoke::jobs
