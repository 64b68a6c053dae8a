// Reads a job's logs and events from its attempts' files, numbered so that a reader can resume anywhere.
// Pull-based: a slow reader slows only its own reading; at most 256 KiB is held per reader.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/jobs/job_store.h"
#include "yoke/v1/stream.pb.h"

namespace yoke::streams {

struct SourceOptions {
  std::string job_id;
  bool follow = false;
  std::optional<int> rank;
  std::optional<int64_t> tail_lines;
  std::string resume_token;
  std::vector<std::string> event_types;  // TailMetrics only
};

// One reader of one stream. Not thread-safe.
template <typename Frame>
class FrameSource {
 public:
  virtual ~FrameSource() = default;
  // The next frame; waits up to `wait`. nullopt: nothing yet (the caller decides about bookmarks and cancellation).
  // After the End frame no further call is made.
  virtual absl::StatusOr<std::optional<Frame>> Next(absl::Duration wait) = 0;
  // The position reached: what a bookmark carries.
  virtual std::string ResumeToken() const = 0;
};

// Attempts are read in order, the ranks of one side by side; rank -1, when asked for, is the prepare phase's output.
// End comes once the job has ended and its files are read to their ends; without `follow`, at what is there now.
// InvalidArgument: a token of another job or mangled. NotFound: no such job.
absl::StatusOr<std::unique_ptr<FrameSource<v1::TailLogsResponse>>> OpenLogs(
    jobs::JobStore& store, const std::function<std::string(int attempt)>& attempt_dir, const SourceOptions& options);
absl::StatusOr<std::unique_ptr<FrameSource<v1::TailMetricsResponse>>> OpenEvents(
    jobs::JobStore& store, const std::function<std::string(int attempt)>& attempt_dir, const SourceOptions& options);

}  // namespace yoke::streams
