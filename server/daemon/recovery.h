// What attempt folders tell of jobs that the store does not know, or knows as they were before: a
// database that was made anew, restored from a copy, or lost its last commits.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/jobs/job_store.h"

namespace yoke::daemon {

// Whether any attempt has left its specification there.
bool HasAttempts(const std::string& jobs_root);

// Gives the store the jobs it lacks and the attempts its open jobs lack; the newest attempt of each
// is STARTING then, whatever became of it, and the launcher finds that out as for every other. Call
// before the launcher begins. Returns what was done, in sentences. Doing it again changes nothing.
absl::StatusOr<std::vector<std::string>> TakeUpAttempts(const std::string& jobs_root,
                                                        jobs::JobStore& store);

}  // namespace yoke::daemon
