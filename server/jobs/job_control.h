// What the service may ask of the running daemon beyond reading the store. Implemented by the daemon's
// composition of scheduler and launcher; faked in the service's tests.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/jobs/job_store.h"
#include "yoke/v1/job.pb.h"

namespace yoke::jobs {

// What a short-lived `yoke-worker --prepare` says about a specification's files.
struct PrepareAnswer {
  std::vector<std::string> banner, warnings;
};

// Where jobs go that name no queue.
inline constexpr char kDefaultQueue[] = "default";

// The waiting jobs as the scheduler sees them now.
struct QueueView {
  std::vector<v1::QueueEntry> entries;  // by place
  std::string problem;                  // why what could start now does not; empty: nothing
};

class JobControl {
 public:
  virtual ~JobControl() = default;
  // Commits the intent to stop and carries it out in the background. `grace`: how long it may take
  // to stop by itself; nothing: as long as the daemon's configuration says. Idempotent while the
  // job is stopping. NotFound; FailedPrecondition if it has ended.
  virtual absl::StatusOr<JobRecord> Cancel(const std::string& id,
                                           std::optional<absl::Duration> grace,
                                           const std::string& comment) = 0;
  // Commits the intent to stop a job that has started so that it waits again, and carries it out in the background.
  // NotFound; FailedPrecondition as jobs::StopAttempt.
  virtual absl::StatusOr<JobRecord> Requeue(const std::string& id,
                                            std::optional<absl::Duration> grace) = 0;
  // Makes a plan and carries nothing of it out.
  virtual absl::StatusOr<QueueView> Queue() = 0;
  // The queues that jobs may be submitted to.
  virtual const std::set<std::string>& QueueNames() const = 0;
  // Runs the prepare phase on a resolved spec without storing anything; its error is the user's answer.
  virtual absl::StatusOr<PrepareAnswer> Prepare(const v1::JobSpec& resolved, const std::vector<std::string>& user_set) = 0;
  // `yoke-worker --probe`: one JSON object.
  virtual absl::StatusOr<std::string> ProbeWorker() = 0;
  // Where the attempt folders of a job are: <jobs_root>/<id>/attempts/<n>.
  virtual std::string AttemptDir(const std::string& id, int attempt) const = 0;
  // The id of the job whose run folder `path` is or lies in, also by way of links; empty: none's.
  virtual std::string JobAt(const std::string& path) const = 0;
};

}  // namespace yoke::jobs
