#include "server/store/arrays.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "server/jobs/array.h"
#include "server/jobs/ids.h"
#include "server/jobs/state_machine.h"
#include "server/store/queries.h"
#include "server/store/rows.h"
#include "server/store/schema.h"

namespace yoke::store {
namespace {

using jobs::JobRecord;
using v1::Job;

// By index.
absl::StatusOr<std::vector<JobRecord>> OpenTasks(SQLite::Database& database,
                                                 const std::string& array_id) {
  SQLite::Statement query(
      database,
      absl::StrCat("SELECT ", kJobColumns,
                   " FROM job INDEXED BY job_by_array_state WHERE array_id = ? AND state IN ",
                   OpenStates(), " ORDER BY array_index"));
  query.bind(1, array_id);
  return ReadJobs(query);
}

// Ended tasks may have lost their rows together with the database; what was counted once stays
// counted.
void Recount(SQLite::Database& database, JobRecord& record) {
  v1::Array& array = *record.public_job.mutable_array();
  const v1::Array before = array;
  array.set_queued(0);
  array.set_running(0);
  array.set_succeeded(0);
  array.set_failed(0);
  array.set_cancelled(0);
  SQLite::Statement states(
      database,
      "SELECT state, count(*), max(array_index) FROM job WHERE array_id = ? GROUP BY state");
  states.bind(1, record.id);
  int32_t made = before.made();
  while (states.executeStep()) {
    const Job::State state = static_cast<Job::State>(states.getColumn(0).getInt());
    jobs::CountTasks(state, states.getColumn(1).getInt(), array);
    made = std::max(made, states.getColumn(2).getInt() - array.first() + 1);
  }
  array.set_made(made);
  array.set_succeeded(std::max(array.succeeded(), before.succeeded()));
  array.set_failed(std::max(array.failed(), before.failed()));
  array.set_cancelled(std::max(array.cancelled(), before.cancelled()));
  const int known =
      array.queued() + array.running() + array.succeeded() + array.failed() + array.cancelled();
  if (known < made) {
    record.public_job.add_warnings(absl::StrCat("nothing is known any more of ", made - known,
                                                " task(s); they count as failed"));
    array.set_failed(array.failed() + made - known);
  }
}

}  // namespace

absl::StatusOr<jobs::ArrayWithTasks> ReadArray(Statements& statements, const std::string& id) {
  jobs::ArrayWithTasks read;
  YOKE_ASSIGN_OR_RETURN(read.array, FindJob(statements, id));
  if (!jobs::IsArray(read.array.public_job))
    return absl::FailedPreconditionError(absl::StrCat("job ", read.array.id, " is no array"));
  YOKE_ASSIGN_OR_RETURN(read.tasks, OpenTasks(statements.database(), read.array.id));
  return read;
}

absl::StatusOr<std::optional<ArrayChange>> FollowInArray(Statements& statements,
                                                         const JobRecord& before,
                                                         const JobRecord& task) {
  const Job::State from = before.public_job.state(), to = task.public_job.state();
  if (from == to || !jobs::IsTask(task.public_job)) return std::nullopt;
  const absl::StatusOr<std::string> id = jobs::ParseJobName(task.public_job.array_job());
  if (!id.ok()) return std::nullopt;
  absl::StatusOr<JobRecord> array = FindJob(statements, *id);
  // A database made anew may have lost it; its tasks are jobs of their own then.
  if (absl::IsNotFound(array.status())) return std::nullopt;
  YOKE_RETURN_IF_ERROR(array.status());
  ArrayChange change{*array, *std::move(array)};
  if (!jobs::FollowTask(from, to, absl::Now(), change.after)) return std::nullopt;
  return change;
}

absl::StatusOr<std::vector<JobRecord>> RecountOpen(SQLite::Database& database) {
  std::vector<JobRecord> open;
  try {
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    YOKE_ASSIGN_OR_RETURN(open, ReadOpen(database));
    Statements statements(database);
    for (JobRecord& job : open) {
      if (!jobs::IsArray(job.public_job)) continue;
      const std::string before = job.public_job.SerializeAsString();
      Recount(database, job);
      if (job.public_job.SerializeAsString() == before) continue;
      jobs::Settle(job, absl::Now());
      UpdateJob(statements, job, AppendEvent(statements, job).message);
    }
    transaction.commit();
  } catch (const SQLite::Exception& error) {
    return ToStatus(error, "cannot count the tasks of arrays");
  }
  std::erase_if(open, [](const JobRecord& job) { return jobs::IsTerminal(job.public_job.state()); });
  return open;
}

}  // namespace yoke::store
