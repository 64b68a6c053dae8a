// How an attempt's end becomes the job's: reason, sentence, error, result. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/ipc/attempt_files.h"
#include "server/jobs/job_store.h"
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
  std::string device_fault;  // if a device of the attempt failed: which and how
};

// `failed_rank`: the report of the rank that failed first (or of the prepare phase), if any rank did.
Ending EndingOf(const ipc::ExitRecord& record, const Report& failed_rank);
// The shim died without a record. `stop_requested`: the job was to stop anyway. `rebooted`: the machine has been
// restarted since the attempt began.
Ending LostEnding(bool stop_requested, bool rebooted);
Ending SpawnFailedEnding(const std::string& why);
Ending CancelledBeforeStart();
// An end that came of a stop, as what was asked for (JobRecord::stop_reason): at the time limit it is TIMED_OUT, and
// after a preemption or a requeue the job waits again. Other ends stay as they are.
Ending AsAsked(Ending ending, const std::string& stop_reason);
// A failure that the fault of a device explains, as that: the job is tried again. Others stay as they are.
Ending AsDeviceLost(Ending ending);

// How often a job may be tried, by what ended its attempts.
struct Tries {
  int lost_max = 3;    // supervisor or machine died, ranks hung, device lost
  int failed_max = 1;  // the program failed by itself
};
// How many attempts a job that ends so may have in all: 1 where another one would end the same way.
int TriesOf(const Ending& ending, const Tries& tries);
// Between attempt `attempt` and the next: 1, 2, 4 ... 60 s.
absl::Duration RetryDelay(int attempt);

// What happens to the job, by the outcome; kRequeue for a preempted attempt, and if it is to be tried again.
jobs::JobEventKind EventOf(const Ending& ending, bool may_retry);

// Writes end, error and result into the job and its last attempt, and moves its state: to its end, or back into the
// queue with the time before which it is not tried again. FailedPrecondition if the state does not allow it.
absl::Status Apply(const Ending& ending, const Tries& tries, absl::Time now, v1::Job& job);

// The same with what the record says besides: as what a stop was asked, and free of that stop if the job waits again.
// Attempts that were stopped to wait again are no tries.
absl::Status EndAttempt(Ending ending, const Tries& tries, absl::Time now, jobs::JobRecord& record);

// Rank 0's result as the API has it, with what only others know: the checksums of the other ranks' weights,
// memory, run folder.
v1::JobResult ResultOf(const Report& rank0, const std::vector<Report>& other_ranks, int64_t peak_rss_bytes, const std::string& run_dir);

}  // namespace yoke::launcher
