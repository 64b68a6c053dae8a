#include "client/cli/commands/byte_size.h"

#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace yoke::cli {

absl::StatusOr<int64_t> ParseBytes(const std::string& option, const std::string& text) {
  const std::string lower = absl::AsciiStrToLower(text);
  absl::string_view number = lower;
  double unit = 0;
  for (const auto& [words, bytes] : {std::pair{"gib", 1ll << 30},
                                     {"gb", 1ll << 30},
                                     {"g", 1ll << 30},
                                     {"mib", 1ll << 20},
                                     {"mb", 1ll << 20},
                                     {"m", 1ll << 20}}) {
    if (unit == 0 && absl::ConsumeSuffix(&number, words)) unit = static_cast<double>(bytes);
  }
  double count = 0;
  if (unit == 0 || !absl::SimpleAtod(number, &count) || !(count > 0) || count * unit > 1e15) {
    return absl::InvalidArgumentError(
        absl::StrCat(option, " ", text, ": a size such as 4GiB or 512MiB is wanted"));
  }
  return static_cast<int64_t>(std::llround(count * unit));
}

}  // namespace yoke::cli
