#include "client/cli/commands/moment.h"

#include "absl/strings/str_cat.h"
#include "client/cli/commands/duration.h"

namespace yoke::cli {

absl::StatusOr<absl::Time> ParseMoment(const std::string& option, const std::string& text,
                                       absl::Time now, absl::TimeZone zone) {
  const std::string today = absl::FormatTime("%Y-%m-%d ", now, zone);
  absl::Time moment;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &moment, &error)) return moment;
  for (const char* form :
       {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"}) {
    for (const std::string& candidate : {text, absl::StrCat(today, text)}) {
      if (absl::ParseTime(form, candidate, zone, &moment, &error)) return moment;
    }
  }
  if (const auto ago = ParseDuration(option, text); ago.ok()) return now - *ago;
  return absl::InvalidArgumentError(absl::StrCat(
      option, " ", text,
      ": a moment such as 10m (ago), 14:30, '2024-05-01 14:30' or 2024-05-01T14:30:05Z is wanted"));
}

}  // namespace yoke::cli
