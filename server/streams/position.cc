#include "server/streams/position.h"

#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace yoke::streams {
namespace {

constexpr size_t kTokenBytesMax = 64 * 1024;

// CRC-32 (IEEE 802.3), bit by bit: tokens are short.
uint32_t Crc32(absl::string_view bytes) {
  uint32_t crc = 0xffffffffu;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

absl::Status Refuse(const char* what) {
  absl::Status status =
      absl::InvalidArgumentError(absl::StrCat("resume_token ", what, ". Leave it out to read from the beginning."));
  status.SetPayload("yoke.reason", absl::Cord("RESUME_TOKEN_INVALID"));
  return status;
}

}  // namespace

std::string EncodeToken(StreamKind kind, const std::string& job_id, const Position& position) {
  std::string text = absl::StrCat(std::string(1, static_cast<char>(kind)), "1 ", job_id, " ", position.attempt);
  for (const auto& [rank, offset] : position.offsets) {
    if (offset > 0) absl::StrAppend(&text, " ", rank, ":", offset);
  }
  return absl::WebSafeBase64Escape(absl::StrCat(text, " ", absl::Hex(Crc32(text), absl::kZeroPad8)));
}

absl::StatusOr<Position> DecodeToken(StreamKind kind, const std::string& job_id, const std::string& token) {
  std::string text;
  if (token.size() > kTokenBytesMax || !absl::WebSafeBase64Unescape(token, &text)) return Refuse("is mangled");
  const size_t end = text.rfind(' ');
  if (end == std::string::npos || text.substr(end + 1) != absl::StrCat(absl::Hex(Crc32(text.substr(0, end)), absl::kZeroPad8))) {
    return Refuse("is mangled");
  }
  const std::vector<std::string> words = absl::StrSplit(text.substr(0, end), ' ');
  Position position;
  if (words.size() < 3 || !absl::SimpleAtoi(words[2], &position.attempt) || position.attempt < 0) return Refuse("is mangled");
  if (words[0] != absl::StrCat(std::string(1, static_cast<char>(kind)), "1")) return Refuse("is of another kind of stream");
  if (words[1] != job_id) return Refuse("is of another job");
  for (size_t i = 3; i < words.size(); ++i) {
    const std::vector<std::string> pair = absl::StrSplit(words[i], ':');
    int rank = 0;
    int64_t offset = 0;
    if (pair.size() != 2 || !absl::SimpleAtoi(pair[0], &rank) || !absl::SimpleAtoi(pair[1], &offset) || offset < 0) {
      return Refuse("is mangled");
    }
    position.offsets[rank] = offset;
  }
  return position;
}

}  // namespace yoke::streams
