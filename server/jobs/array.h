// Arrays: one job that stands for many. Its row counts its tasks and is what people hold, release,
// stop and change; tasks are made from it when they can soon start. Pure: the caller stores, in one
// transaction, what came of it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/jobs/job_store.h"
#include "server/jobs/transitions.h"

namespace yoke::jobs {

inline bool IsArray(const v1::Job& job) { return job.has_array(); }
inline bool IsTask(const v1::Job& job) { return !job.array_job().empty(); }

// Tasks that were not made yet.
int TasksLeft(const v1::Job& array);

// Adds `by` tasks in a state to the counts.
void CountTasks(v1::Job::State state, int by, v1::Array& array);

// A task's state was changed from `before` (STATE_UNSPECIFIED: it was just made) to `after`: counts
// that, and moves the array to where it is now. Whether anything of the array changed.
bool FollowTask(v1::Job::State before, v1::Job::State after, absl::Time now, JobRecord& array);
// The same for all that was done to `before` at once.
void FollowTasks(const ArrayWithTasks& before, absl::Time now, ArrayWithTasks& after);
// Where the array is by its counts: ended, stopping, held, running or waiting.
void Settle(JobRecord& array, absl::Time now);

// Makes the next `most` tasks or what is left of them, each once: with them the array's count goes
// on. A task whose values cannot be used together is FAILED from the beginning. FailedPrecondition
// if the array makes no more: it has ended, is held or is being stopped.
absl::Status MakeTasks(int most, absl::Time now, const std::function<std::string()>& new_id,
                       ArrayWithTasks& change);

// What people do to an array happens to all its tasks. Refusals as for one job.
absl::Status StopArray(const StopIntent& intent, absl::Time now, ArrayWithTasks& change);
absl::Status HoldArray(ArrayWithTasks& change);
absl::Status ReleaseArray(ArrayWithTasks& change);
// Tasks that a field of `paths` cannot change any more keep it.
absl::Status UpdateArrayFields(const v1::Job& wanted, const std::vector<std::string>& paths,
                               ArrayWithTasks& change);

}  // namespace yoke::jobs
