// How an attempt's end becomes the job's: reason, sentence, error, result. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/ipc/attempt_files.h"
#include "server/jobs/state_machine.h"
#include "server/launcher/event_follower.h"
#include "yoke/v1/job.pb.h"

namespace yoke::launcher {

struct Ending {
  v1::Attempt::Outcome outcome = v1::Attempt::FAILED;
  v1::JobReason::Code reason = v1::JobReason::INTERNAL;
  std::string message;
  v1::JobError error;
  bool has_error = false;
  int64_t peak_rss_bytes = 0;
};

// `failed_rank`: the report of the rank that failed first (or of the prepare phase), if any rank did.
Ending EndingOf(const ipc::ExitRecord& record, const Report& failed_rank);
// The shim died without a record. `stop_requested`: the job was to stop anyway.
Ending LostEnding(bool stop_requested);
Ending SpawnFailedEnding(const std::string& why);
Ending CancelledBeforeStart();

// Whether another attempt may end otherwise: this one was lost, hung, or lost its device.
bool MayBeTriedAgain(const Ending& ending);

// What happens to the job, by the outcome; kRequeue if it is tried again.
jobs::JobEventKind EventOf(const Ending& ending, bool may_retry);

// Writes end, error and result into the job and its last attempt, and moves its state.
// FailedPrecondition if the state does not allow it.
absl::Status Apply(const Ending& ending, bool may_retry, absl::Time now, v1::Job& job);

// Rank 0's result as the API has it, with what only others know: the checksums of the other ranks' weights,
// memory, run folder.
v1::JobResult ResultOf(const Report& rank0, const std::vector<Report>& other_ranks, int64_t peak_rss_bytes, const std::string& run_dir);

}  // namespace yoke::launcher
