#include "server/jobs/ids.h"

#include <sys/random.h>

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"

namespace yoke::jobs {
namespace {

// RFC 4648's alphabet in lower case: no 0, 1, 8 or 9 to be mistaken for letters.
constexpr absl::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";

std::string Random128() {
  uint8_t bytes[16];
  YOKE_CHECK(getrandom(bytes, sizeof bytes, 0) == sizeof bytes);
  std::string id;
  unsigned buffer = 0;
  int bits = 0;
  for (uint8_t byte : bytes) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      id += kAlphabet[(buffer >> bits) & 31];
    }
  }
  if (bits > 0) id += kAlphabet[(buffer << (5 - bits)) & 31];
  return id;
}

}  // namespace

std::string NewJobId() { return Random128(); }

void BeginAlike(std::vector<std::string>& ids) {
  if (ids.size() < kLargeBatch) return;
  for (std::string& id : ids) id.replace(0, kMinPrefixLength, ids.front(), 0, kMinPrefixLength);
}

std::string NewRunId() { return Random128(); }

absl::StatusOr<std::string> ParseJobName(absl::string_view name_or_id) {
  const absl::string_view id = absl::StripPrefix(name_or_id, "jobs/");
  if (id.size() < kMinPrefixLength || id.size() > kJobIdLength || id.find_first_not_of(kAlphabet) != absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("'", name_or_id.substr(0, 100), "' is not a job id: give the id that submitting printed, or at least ",
                                                   kMinPrefixLength, " of its first characters"));
  }
  return std::string(id);
}

std::string JobName(absl::string_view id) { return absl::StrCat("jobs/", id); }
std::string AttemptName(absl::string_view id, int attempt) { return absl::StrCat("jobs/", id, "/attempts/", attempt); }

}  // namespace yoke::jobs
