// Changing a job that was submitted: which fields still can change, and the change. Pure: the
// caller has checked the values and stores what came of it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/jobs/open_jobs.h"

namespace yoke::jobs {

// Paths of v1::Job, "scheduling.time_limit", in the order in which people read of them.
const std::vector<std::string>& UpdatablePaths();

// Copies the fields that `paths` names from `wanted`; one that `wanted` lacks is cleared. The name
// can change always; priority and preemptible until the job has ended; the time limit until it
// stops; queue, dependencies and share_memory_bytes while it waits. Refusals are FailedPrecondition
// with a sentence that names the field and why, their reason for scripts in the payload
// "yoke.reason": JOB_ENDED, JOB_STOPPING, JOB_NOT_WAITING, JOB_IS_NO_ARRAY. REQUIRES: every path is
// one of UpdatablePaths.
absl::Status UpdateFields(const v1::Job& wanted, const std::vector<std::string>& paths,
                          JobRecord& record);

// The dependency ("jobs/b") by which a job would come to wait for itself; empty: none. An array ends
// with the last of its tasks, so it waits for what they wait for.
std::string WaitsForItself(const std::string& name, const v1::Scheduling& wanted,
                           const OpenJobs& open_jobs);

}  // namespace yoke::jobs
