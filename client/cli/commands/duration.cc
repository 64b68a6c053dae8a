#include "client/cli/commands/duration.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace yoke::cli {
namespace {

constexpr absl::Duration kLongest = absl::Seconds(315'576'000'000);  // of a protobuf Duration

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(const std::string& option, const std::string& text) {
  absl::Duration duration;
  double seconds;
  if (absl::SimpleAtod(text, &seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &duration)) {
    return absl::InvalidArgumentError(absl::StrCat(option, " ", text, ": a duration such as 10s, 5m or 1h is wanted"));
  }
  if (duration < absl::ZeroDuration()) return absl::InvalidArgumentError(absl::StrCat(option, " ", text, " is negative"));
  if (duration > kLongest)
    return absl::InvalidArgumentError(
        absl::StrCat(option, " ", text, " is longer than 10,000 years"));
  return duration;
}

}  // namespace yoke::cli
