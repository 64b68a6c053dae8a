#include "server/store/arrays.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "server/jobs/array.h"
#include "server/jobs/ids.h"
#include "server/jobs/state_machine.h"
#include "server/store/rows.h"
#include "server/store/schema.h"

namespace yoke::store {
namespace {

using jobs::JobRecord;
using v1::Job;

std::string OpenStates() {
  return absl::StrCat("(", static_cast<int>(Job::QUEUED), ",", static_cast<int>(Job::HELD), ",",
                      static_cast<int>(Job::STARTING), ",", static_cast<int>(Job::RUNNING), ",",
                      static_cast<int>(Job::STOPPING), ")");
}

absl::StatusOr<std::vector<JobRecord>> OpenArrays(SQLite::Database& database) {
  std::vector<JobRecord> arrays;
  SQLite::Statement query(
      database, absl::StrCat("SELECT ", kJobColumns, " FROM job WHERE state IN ", OpenStates()));
  while (query.executeStep()) {
    YOKE_ASSIGN_OR_RETURN(JobRecord job, JobFromRow(query));
    if (jobs::IsArray(job.public_job)) arrays.push_back(std::move(job));
  }
  return arrays;
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

absl::StatusOr<JobRecord> FindJob(SQLite::Database& database, const std::string& prefix) {
  SQLite::Statement query(
      database, absl::StrCat("SELECT ", kJobColumns, " FROM job WHERE id >= ? AND id < ? LIMIT 2"));
  query.bind(1, prefix);
  query.bind(2, prefix + "\x7f");
  if (!query.executeStep())
    return absl::NotFoundError(absl::StrCat("There is no job ", prefix, "."));
  YOKE_ASSIGN_OR_RETURN(JobRecord job, JobFromRow(query));
  if (job.id != prefix && query.executeStep()) {
    return absl::InvalidArgumentError(absl::StrCat("More than one job begins with ", prefix,
                                                   ": give more characters of its id."));
  }
  return job;
}

absl::StatusOr<std::vector<JobRecord>> OpenTasks(SQLite::Database& database,
                                                 const std::string& array_id) {
  std::vector<JobRecord> tasks;
  SQLite::Statement query(
      database,
      absl::StrCat("SELECT ", kJobColumns,
                   " FROM job INDEXED BY job_by_array_state WHERE array_id = ? AND state IN ",
                   OpenStates(), " ORDER BY array_index"));
  query.bind(1, array_id);
  while (query.executeStep()) {
    YOKE_ASSIGN_OR_RETURN(JobRecord job, JobFromRow(query));
    tasks.push_back(std::move(job));
  }
  return tasks;
}

absl::StatusOr<std::vector<JobRecord>> RecountArrays(SQLite::Database& database) {
  std::vector<JobRecord> changed;
  try {
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    YOKE_ASSIGN_OR_RETURN(const std::vector<JobRecord> arrays, OpenArrays(database));
    for (const JobRecord& stored : arrays) {
      JobRecord array = stored;
      Recount(database, array);
      if (array.public_job.SerializeAsString() == stored.public_job.SerializeAsString()) continue;
      jobs::Settle(array, absl::Now());
      AppendEvent(database, array);
      UpdateJob(database, array);
      changed.push_back(std::move(array));
    }
    transaction.commit();
  } catch (const SQLite::Exception& error) {
    return ToStatus(error, "cannot count the tasks of arrays");
  }
  return changed;
}

}  // namespace yoke::store
