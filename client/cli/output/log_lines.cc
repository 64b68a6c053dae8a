#include "client/cli/output/log_lines.h"

namespace yoke::cli {

void LogLines::Add(const v1::TailLogsResponse::Chunk& chunk) {
  if (chunk.unfinished()) {
    if (on_unfinished_) on_unfinished_(chunk.attempt(), chunk.rank(), chunk.data());
    return;
  }
  std::string& open = open_[{chunk.attempt(), chunk.rank()}];
  const std::string& data = chunk.data();
  size_t begin = 0;
  for (size_t end = data.find('\n'); end != std::string::npos; end = data.find('\n', begin)) {
    open.append(data, begin, end - begin);
    on_line_(chunk.attempt(), chunk.rank(), open);
    open.clear();
    begin = end + 1;
  }
  open.append(data, begin);
}

void LogLines::Flush() {
  for (auto& [source, open] : open_) {
    if (!open.empty()) on_line_(source.first, source.second, open);
    open.clear();
  }
}

}  // namespace yoke::cli
