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
  using OnLine = std::function<void(int attempt, int rank, const std::string& line)>;
  // `on_line` gets each line without its newline; `on_unfinished` how one looks that goes on, and will be told again.
  explicit LogLines(OnLine on_line, OnLine on_unfinished = nullptr) : on_line_(std::move(on_line)), on_unfinished_(std::move(on_unfinished)) {}
  void Add(const v1::TailLogsResponse::Chunk& chunk);
  // What was not ended by a newline.
  void Flush();

 private:
  OnLine on_line_, on_unfinished_;
  std::map<std::pair<int, int>, std::string> open_;
};

}  // namespace yoke::cli
