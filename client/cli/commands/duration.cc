#include "client/cli/commands/duration.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace yoke::cli {
namespace {

constexpr absl::Duration kLongest = absl::Seconds(315'576'000'000);  // of a protobuf Duration

// As absl::ParseDuration, and days before the rest: "1d12h".
bool ParseWithDays(const std::string& text, absl::Duration& duration) {
  const size_t day = text.find('d');
  double days = 0;
  if (day == std::string::npos || !absl::SimpleAtod(text.substr(0, day), &days))
    return absl::ParseDuration(text, &duration);
  absl::Duration rest;
  const std::string behind = text.substr(day + 1);
  if (!behind.empty() && (!absl::ParseDuration(behind, &rest) || rest < absl::ZeroDuration()))
    return false;
  duration = days * absl::Hours(24) + rest;
  return true;
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(const std::string& option, const std::string& text) {
  absl::Duration duration;
  double seconds;
  if (absl::SimpleAtod(text, &seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!ParseWithDays(text, duration)) {
    return absl::InvalidArgumentError(
        absl::StrCat(option, " ", text, ": a duration such as 10s, 5m, 1h or 2d is wanted"));
  }
  if (duration < absl::ZeroDuration()) return absl::InvalidArgumentError(absl::StrCat(option, " ", text, " is negative"));
  if (duration > kLongest)
    return absl::InvalidArgumentError(
        absl::StrCat(option, " ", text, " is longer than 10,000 years"));
  return duration;
}

absl::StatusOr<absl::Duration> ParseGrace(const std::string& text) {
  if (text.empty()) return absl::Seconds(-1);
  return ParseDuration("--grace", text);
}

}  // namespace yoke::cli
