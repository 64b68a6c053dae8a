#include "server/service/watch_token.h"

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/service/errors.h"

namespace yoke::service {
namespace {
constexpr char kMark[] = "W1 ";
}  // namespace

std::string EncodeWatchToken(int64_t sequence) {
  return absl::WebSafeBase64Escape(absl::StrCat(kMark, sequence));
}

absl::StatusOr<int64_t> DecodeWatchToken(const std::string& token) {
  std::string text;
  int64_t sequence = 0;
  if (absl::WebSafeBase64Unescape(token, &text)) {
    absl::string_view number = text;
    if (absl::ConsumePrefix(&number, kMark) && absl::SimpleAtoi(number, &sequence) && sequence >= 0)
      return sequence;
  }
  return InvalidField(
      "resume_token",
      "resume_token is none of WatchJobs or ListJobs. Leave it out to watch from now on",
      "RESUME_TOKEN_INVALID");
}

}  // namespace yoke::service
