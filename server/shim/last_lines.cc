#include "server/shim/last_lines.h"

#include "absl/strings/str_split.h"
#include "common/os/file.h"

namespace yoke::shim {
namespace {

constexpr size_t kTailBytes = size_t{64} << 10;

}  // namespace

std::vector<std::string> LastLines(const std::string& path, size_t count) {
  const absl::StatusOr<std::string> tail = os::ReadTail(path, kTailBytes);
  if (!tail.ok() || tail->empty()) return {};
  std::vector<std::string> lines = absl::StrSplit(*tail, '\n');
  if (lines.back().empty()) lines.pop_back();
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<long>(count));
  return lines;
}

}  // namespace yoke::shim
