// Fields that several requests have.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/service/durations.h"
#include "server/service/errors.h"

namespace yoke::service {

inline bool HasControlCharacters(const std::string& text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return absl::ascii_iscntrl(c); });
}

// How many items a page has at most: 100 where 0 is asked, never more than 1000; PAGE_SIZE_INVALID below 0.
inline absl::StatusOr<int> PageSizeOf(int asked) {
  if (asked < 0)
    return InvalidField("page_size", "page_size cannot be negative; 0 means 100",
                        "PAGE_SIZE_INVALID");
  return asked == 0 ? 100 : std::min(asked, 1000);
}

// How long a job may take to stop by itself; nothing: the request leaves it to the daemon.
// GRACE_INVALID outside 0 to 1 h.
template <typename Request>
absl::StatusOr<std::optional<absl::Duration>> GraceOf(const Request& request) {
  if (!request.has_grace()) return std::nullopt;
  const absl::Duration grace = FromProto(request.grace());
  if (grace >= absl::ZeroDuration() && grace <= absl::Hours(1)) return grace;
  return InvalidField(
      "grace",
      absl::StrCat("grace=", absl::FormatDuration(grace), " is out of range; it takes 0 to 1 h"),
      "GRACE_INVALID");
}

}  // namespace yoke::service
