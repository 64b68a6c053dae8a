// Puts the chunks of a log stream together to whole lines, per attempt and rank, so that ranks never mix
// within a line.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "yoke/v1/stream.pb.h"

namespace yoke::cli {

class LogLines {
 public:
  // `on_line` gets each line without its newline.
  explicit LogLines(std::function<void(int attempt, int rank, const std::string& line)> on_line) : on_line_(std::move(on_line)) {}
  void Add(const v1::TailLogsResponse::Chunk& chunk);
  // What was not ended by a newline.
  void Flush();

 private:
  std::function<void(int, int, const std::string&)> on_line_;
  std::map<std::pair<int, int>, std::string> open_;
};

}  // namespace yoke::cli
