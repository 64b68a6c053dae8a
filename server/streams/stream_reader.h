// Reads a job's logs and events from its attempts' files, numbered so that a reader can resume
// anywhere. Pull-based: a slow reader slows only its own reading; at most 256 KiB is held per
// reader.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/jobs/job_store.h"
#include "server/streams/line_filter.h"
#include "server/streams/pump.h"
#include "yoke/v1/stream.pb.h"

namespace yoke::streams {

struct SourceOptions {
  std::string job_id;
  bool follow = false;
  std::optional<int> rank;
  std::optional<int64_t> tail_lines;
  std::string resume_token;
  std::vector<std::string> event_types;  // TailMetrics only
  // TailLogs only. Whole lines instead of bytes; `choice` needs them.
  bool lines = false;
  LineChoice choice;
  std::optional<absl::Time> since, until;
};

enum class Pull {
  kFrame,    // a frame was read
  kMore,     // none yet; there is more to look at
  kNothing,  // none until the files grow or the job changes
};

// One reader of one stream. Not thread-safe, but for JobChanged.
template <typename Frame>
class FrameSource {
 public:
  virtual ~FrameSource() = default;
  // Does not wait, and reads at most about a MiB. After the End frame no further call is made.
  virtual absl::StatusOr<Pull> Next(Frame& frame) = 0;
  // The position reached: what a bookmark carries.
  virtual std::string ResumeToken() const = 0;
  // What to wait for after kNothing.
  virtual Wait Waiting() const = 0;
  // The job must be read again. From any thread.
  virtual void JobChanged() = 0;
};

// Attempts are read in order, the ranks of one side by side; rank -1, when asked for, is what
// the prepare phase of several ranks printed. End comes once the job has ended and its files are
// read to their ends; without `follow`, at what is there now. InvalidArgument: a token of another
// job or mangled; a pattern that cannot be used. NotFound: no such job.
absl::StatusOr<std::unique_ptr<FrameSource<v1::TailLogsResponse>>> OpenLogs(
    jobs::JobStore& store, const std::function<std::string(int attempt)>& attempt_dir,
    const SourceOptions& options);
absl::StatusOr<std::unique_ptr<FrameSource<v1::TailMetricsResponse>>> OpenEvents(
    jobs::JobStore& store, const std::function<std::string(int attempt)>& attempt_dir,
    const SourceOptions& options);

}  // namespace yoke::streams
