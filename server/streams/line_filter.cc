#include "server/streams/line_filter.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "re2/re2.h"

namespace yoke::streams {
namespace {

constexpr size_t kPatternBytesMax = 1000;
constexpr int64_t kPatternMemory = 192 * 1024;  // of each reader
// Where a level may stand: behind a time stamp and a name.
constexpr size_t kLevelWithin = 64;

bool IsWord(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// `word` (lower case) in `head`: in capitals, or followed by a colon, or in brackets.
bool Says(std::string_view head, std::string_view lower, std::string_view word) {
  for (size_t at = lower.find(word); at != std::string_view::npos; at = lower.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at > 0 && IsWord(head[at - 1])) || (end < head.size() && IsWord(head[end]))) continue;
    const char after = end < head.size() ? head[end] : '\0';
    const bool capitals = std::all_of(head.begin() + static_cast<std::ptrdiff_t>(at),
                                      head.begin() + static_cast<std::ptrdiff_t>(end), [](char c) {
                                        return absl::ascii_isupper(static_cast<unsigned char>(c));
                                      });
    if (capitals || after == ':' || (after == ']' && at > 0 && head[at - 1] == '[')) return true;
  }
  return false;
}

std::string_view Shown(std::string_view line) {
  while (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line.substr(LastState(line));
}

}  // namespace

LogLevel LevelOf(std::string_view line) {
  const std::string_view head = line.substr(0, kLevelWithin);
  if (head.starts_with("yoke-worker: ") || head.starts_with("yoke-shim: ")) return LogLevel::kError;
  std::string lower(head);
  absl::AsciiStrToLower(&lower);
  for (const char* word : {"error", "fatal", "critical"}) {
    if (Says(head, lower, word)) return LogLevel::kError;
  }
  return Says(head, lower, "warning") || Says(head, lower, "warn") ? LogLevel::kWarning
                                                                   : LogLevel::kInfo;
}

size_t LastState(std::string_view unfinished) {
  size_t end = unfinished.size();
  while (end > 0 && unfinished[end - 1] == '\r') --end;
  const size_t found = unfinished.substr(0, end).rfind('\r');
  return found == std::string_view::npos ? 0 : found + 1;
}

LineFilter::LineFilter() = default;
LineFilter::~LineFilter() = default;
LineFilter::LineFilter(LineFilter&&) noexcept = default;
LineFilter& LineFilter::operator=(LineFilter&&) noexcept = default;

absl::StatusOr<LineFilter> LineFilter::Make(const LineChoice& choice) {
  LineFilter filter;
  filter.min_level_ = choice.min_level;
  if (choice.pattern.empty()) return filter;
  if (choice.pattern.size() > kPatternBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("the pattern has ", choice.pattern.size(),
                                                   " bytes; at most ", kPatternBytesMax,
                                                   " are allowed"));
  }
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kPatternMemory);
  filter.pattern_ = std::make_unique<RE2>(choice.pattern, options);
  if (!filter.pattern_->ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the pattern '", choice.pattern,
                     "' is no regular expression of RE2: ", filter.pattern_->error()));
  }
  return filter;
}

bool LineFilter::Wants(std::string_view line) const {
  if (min_level_ != LogLevel::kInfo && LevelOf(line) < min_level_) return false;
  return pattern_ == nullptr ||
         RE2::PartialMatch(re2::StringPiece(line.data(), line.size()), *pattern_);
}

size_t LineFilter::Take(std::string_view bytes, bool whole, std::string& out) const {
  size_t begin = 0;
  while (begin < bytes.size()) {
    const size_t newline = bytes.find('\n', begin);
    if (newline == std::string_view::npos && !whole) break;
    const size_t end = std::min(newline, bytes.size());
    const std::string_view line = Shown(bytes.substr(begin, end - begin));
    if (Wants(line)) {
      out.append(line);
      out.push_back('\n');
    }
    begin = newline == std::string_view::npos ? end : end + 1;
  }
  return begin + LastState(bytes.substr(begin));
}

}  // namespace yoke::streams
