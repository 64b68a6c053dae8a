// Cuts a log into lines as a terminal would leave them, and chooses among them.
//
// A line ends with a newline. A carriage return in it takes back what stands before it once
// something follows, so of a progress bar only its last state is a line. What is longer than a
// block is cut there.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace re2 {
class RE2;
}

namespace yoke::streams {

enum class LogLevel { kInfo, kWarning, kError };

// ERROR: the line begins with a program's "name: error:", "[error]", "ERROR" and the like, or is a
// message of yoke-worker or yoke-shim; WARNING likewise; all others are INFO.
LogLevel LevelOf(std::string_view line);

struct LineChoice {
  LogLevel min_level = LogLevel::kInfo;
  std::string pattern;  // RE2, searched for in the line; empty: any line

  bool all() const { return min_level == LogLevel::kInfo && pattern.empty(); }
};

// Immutable.
class LineFilter {
 public:
  // InvalidArgument: the pattern cannot be used, and why.
  static absl::StatusOr<LineFilter> Make(const LineChoice& choice);
  ~LineFilter();
  LineFilter(LineFilter&&) noexcept;
  LineFilter& operator=(LineFilter&&) noexcept;

  // Appends the wanted ones of the lines that `bytes` begins with to `out`, each with a newline,
  // and returns how many bytes are dealt with: all whole lines and what was taken back of the last.
  // `whole`: what no newline ends is a line too.
  size_t Take(std::string_view bytes, bool whole, std::string& out) const;

  bool Wants(std::string_view line) const;

 private:
  LineFilter();

  LogLevel min_level_ = LogLevel::kInfo;
  std::unique_ptr<re2::RE2> pattern_;  // null: any line
};

// Where the last state of a line begins that no newline has ended.
size_t LastState(std::string_view unfinished);

}  // namespace yoke::streams
