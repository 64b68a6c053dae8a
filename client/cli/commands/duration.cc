#include "client/cli/commands/duration.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace yoke::cli {

absl::StatusOr<absl::Duration> ParseDuration(const std::string& option, const std::string& text) {
  absl::Duration duration;
  double seconds;
  if (absl::SimpleAtod(text, &seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &duration)) {
    return absl::InvalidArgumentError(absl::StrCat(option, " ", text, ": a duration such as 10s, 5m or 1h is wanted"));
  }
  if (duration < absl::ZeroDuration()) return absl::InvalidArgumentError(absl::StrCat(option, " ", text, " is negative"));
  return duration;
}

}  // namespace yoke::cli
