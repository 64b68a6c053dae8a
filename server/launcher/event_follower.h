// Follows rank 0's events and keeps what the job's record shows of them: progress, banner, warnings, result.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/ipc/events.h"
#include "yoke/v1/job.pb.h"

namespace yoke::launcher {

// What the events of one rank add up to.
struct Report {
  v1::JobProgress progress;
  std::vector<std::string> banner, warnings;
  std::string error_reason, error_message;  // of its last `error`
  nlohmann::json result;                    // null: none
};
// Folds one event in. Unknown types and fields are passed over.
void Fold(const ipc::ParsedEvent& event, Report& report);

// Not thread-safe.
class EventFollower {
 public:
  explicit EventFollower(std::string path) : path_(std::move(path)) {}
  // Reads what was appended since. True if anything was. A missing file has no events.
  bool Read();
  const Report& report() const { return report_; }

 private:
  void Take(std::string_view line);

  const std::string path_;
  int64_t offset_ = 0;
  std::string torn_;  // the beginning of a line whose end is not there yet
  Report report_;
};

}  // namespace yoke::launcher
