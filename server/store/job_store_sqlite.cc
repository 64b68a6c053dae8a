#include "server/store/job_store_sqlite.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/os/failpoint.h"
#include "common/os/file.h"
#include "server/jobs/array.h"
#include "server/jobs/ids.h"
#include "server/jobs/state_machine.h"
#include "server/store/arrays.h"
#include "server/store/backup.h"
#include "server/store/readers.h"
#include "server/store/rebuild.h"
#include "server/store/reconcile.h"
#include "server/store/rows.h"
#include "server/store/schema.h"
#include "server/store/writer.h"

namespace yoke::store {
namespace {

using jobs::JobRecord;

constexpr int kPageMax = 1000;
constexpr int kTrimEvery = 256;

absl::StatusOr<std::vector<JobRecord>> ReadJobs(SQLite::Statement& query) {
  std::vector<JobRecord> jobs;
  while (query.executeStep()) {
    YOKE_ASSIGN_OR_RETURN(JobRecord job, JobFromRow(query));
    jobs.push_back(std::move(job));
  }
  return jobs;
}

int64_t LastEvent(SQLite::Database& database) {
  return database.execAndGet("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event'").getInt64();
}

// Whether a device can be leased, alone or for a share of it.
absl::Status CheckFree(SQLite::Database& database, const std::string& device_uuid, int64_t share,
                       int64_t memory) {
  SQLite::Statement query(database, "SELECT job_id, shared_bytes FROM lease WHERE device_uuid = ?");
  query.bind(1, device_uuid);
  int64_t taken = 0;
  while (query.executeStep()) {
    const int64_t shared = query.getColumn(1).getInt64();
    if (share <= 0 || shared <= 0) {
      return absl::FailedPreconditionError(absl::StrCat("device ", device_uuid, " is held by jobs/",
                                                        query.getColumn(0).getString()));
    }
    taken += shared;
  }
  if (share <= 0 || memory <= 0 || taken + share <= memory) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("device ", device_uuid, " has ", memory - taken,
                                                    " bytes left to share, not ", share));
}

absl::Status ChangeLeases(SQLite::Database& database, const JobRecord& job, const jobs::JobStore::LeaseChange& change) {
  for (const std::string& uuid : change.release) {
    YOKE_FAILPOINT("lease.release.before");
    SQLite::Statement statement(database, "DELETE FROM lease WHERE device_uuid = ? AND job_id = ?");
    statement.bind(1, uuid);
    statement.bind(2, job.id);
    statement.exec();
  }
  for (const std::string& uuid : change.quarantine) {
    SQLite::Statement statement(database, "UPDATE lease SET quarantined = 1, quarantine_reason = ? WHERE device_uuid = ? AND job_id = ?");
    statement.bind(1, change.quarantine_reason);
    statement.bind(2, uuid);
    statement.bind(3, job.id);
    statement.exec();
  }
  const int64_t share = job.public_job.scheduling().share_memory_bytes();
  for (const std::string& uuid : change.take) {
    const auto memory = change.memory_bytes.find(uuid);
    YOKE_RETURN_IF_ERROR(
        CheckFree(database, uuid, share, memory == change.memory_bytes.end() ? 0 : memory->second));
    SQLite::Statement statement(database,
                                "INSERT INTO lease (device_uuid, job_id, attempt, quarantined, "
                                "quarantine_reason, shared_bytes) "
                                "VALUES (?, ?, ?, 0, '', ?)");
    statement.bind(1, uuid);
    statement.bind(2, job.id);
    statement.bind(3, job.public_job.attempts_size());
    statement.bind(4, share);
    YOKE_FAILPOINT("lease.take.before");
    statement.exec();
    YOKE_FAILPOINT("lease.take.after");
  }
  return absl::OkStatus();
}

bool IsChanged(const JobRecord& before, const JobRecord& after) {
  return IsJournalled(before, after) ||
         before.public_job.SerializeAsString() != after.public_job.SerializeAsString();
}

// The WHERE clause of a filter, and its values in order.
struct Where {
  std::string sql = "1";
  std::vector<std::string> values;
};

Where ToWhere(const jobs::JobFilter& filter) {
  Where where;
  if (!filter.states.empty()) {
    absl::StrAppend(&where.sql, " AND state IN (", absl::StrJoin(filter.states, ",", [](std::string* out, v1::Job::State state) {
                      absl::StrAppend(out, static_cast<int>(state));
                    }), ")");
  }
  if (filter.owner) {
    absl::StrAppend(&where.sql, " AND owner = ?");
    where.values.push_back(*filter.owner);
  }
  if (filter.display_name) {
    absl::StrAppend(&where.sql, " AND display_name = ?");
    where.values.push_back(*filter.display_name);
  }
  if (filter.array && filter.array->empty()) {
    absl::StrAppend(&where.sql, " AND array_id IS NULL");
  } else if (filter.array) {
    absl::StrAppend(&where.sql, " AND array_id = ?");
    where.values.push_back(*filter.array);
  }
  return where;
}

class SqliteJobStore : public jobs::JobStore {
 public:
  SqliteJobStore(const StoreOptions& options, std::unique_ptr<SQLite::Database> database, std::unique_ptr<Journal> journal)
      : options_(options),
        last_event_(LastEvent(*database)),
        journal_(std::move(journal)),
        reserve_(os::FolderOf(options.path) + "/reserve", options.reserve_bytes),
        readers_(options.path),
        writer_(std::move(database), {[this] { return journal_->Flush(); },
                                      [this](bool committed) { committed ? journal_->Keep() : journal_->Undo(); },
                                      [this] { return reserve_.Release(); }, [this] { Done(); }}) {}

  ~SqliteJobStore() override { readers_.Close(); }

  absl::StatusOr<JobRecord> Create(JobRecord job) override {
    YOKE_RETURN_IF_ERROR(writer_.Run([&](SQLite::Database& database) -> absl::Status {
      if (!job.request_id.empty()) {
        SQLite::Statement query(database, absl::StrCat("SELECT ", kJobColumns, " FROM job WHERE owner = ? AND request_id = ?"));
        query.bind(1, job.public_job.owner());
        query.bind(2, job.request_id);
        if (query.executeStep()) {
          YOKE_ASSIGN_OR_RETURN(JobRecord stored, JobFromRow(query));
          if (stored.request_hash != job.request_hash) {
            return absl::InvalidArgumentError("REQUEST_ID_REUSED: this request_id belongs to another request; make a new one for each request");
          }
          job = std::move(stored);
          return absl::OkStatus();
        }
      }
      YOKE_RETURN_IF_ERROR(reserve_.Check());
      Insert(database, job);
      return absl::OkStatus();
    }));
    return job;
  }

  absl::StatusOr<JobRecord> Get(const std::string& id_or_prefix) override {
    absl::StatusOr<JobRecord> found = absl::InternalError("not read");
    YOKE_RETURN_IF_ERROR(readers_.Run([&](SQLite::Database& database) {
      found = FindJob(database, id_or_prefix);
      return found.status();
    }));
    return found;
  }

  absl::StatusOr<jobs::Page> List(const jobs::JobFilter& filter, int page_size, const std::string& page_token) override {
    int64_t before = INT64_MAX;
    if (!page_token.empty() && !absl::SimpleAtoi(page_token, &before)) {
      return absl::InvalidArgumentError("the page token is none of ours: list again from the first page");
    }
    const int size = std::min(std::max(page_size, 1), kPageMax);
    jobs::Page page;
    YOKE_RETURN_IF_ERROR(readers_.Run([&](SQLite::Database& database) -> absl::Status {
      const Where where = ToWhere(filter);
      SQLite::Statement query(database, absl::StrCat("SELECT ", kJobColumns, " FROM job WHERE ", where.sql,
                                                     " AND sequence < ? ORDER BY sequence DESC LIMIT ?"));
      int at = 0;
      for (const std::string& value : where.values) query.bind(++at, value);
      query.bind(++at, before);
      query.bind(++at, size + 1);
      YOKE_ASSIGN_OR_RETURN(page.jobs, ReadJobs(query));
      page.event_sequence = LastEvent(database);
      return absl::OkStatus();
    }));
    if (static_cast<int>(page.jobs.size()) > size) {
      page.jobs.resize(size);
      page.next_page_token = absl::StrCat(page.jobs.back().sequence);
    }
    return page;
  }

  absl::StatusOr<std::vector<JobRecord>> ListOpen() override {
    std::vector<JobRecord> open;
    YOKE_RETURN_IF_ERROR(readers_.Run([&](SQLite::Database& database) -> absl::Status {
      SQLite::Statement query(database, absl::StrCat("SELECT ", kJobColumns, " FROM job WHERE state IN (", static_cast<int>(v1::Job::QUEUED), ",",
                                                     static_cast<int>(v1::Job::HELD), ",", static_cast<int>(v1::Job::STARTING), ",",
                                                     static_cast<int>(v1::Job::RUNNING), ",", static_cast<int>(v1::Job::STOPPING),
                                                     ") ORDER BY sequence"));
      YOKE_ASSIGN_OR_RETURN(open, ReadJobs(query));
      return absl::OkStatus();
    }));
    return open;
  }

  absl::StatusOr<JobRecord> Update(const std::string& id, const std::function<absl::Status(JobRecord&, LeaseChange&)>& change) override {
    absl::StatusOr<JobRecord> updated = absl::InternalError("not written");
    YOKE_RETURN_IF_ERROR(writer_.Run([&](SQLite::Database& database) -> absl::Status {
      YOKE_ASSIGN_OR_RETURN(JobRecord job, FindJob(database, id));
      const JobRecord before = job;
      LeaseChange leases;
      YOKE_RETURN_IF_ERROR(change(job, leases));
      if (!leases.take.empty()) YOKE_RETURN_IF_ERROR(reserve_.Check());
      YOKE_RETURN_IF_ERROR(ChangeLeases(database, job, leases));
      Write(database, before, job);
      if (jobs::IsTask(job.public_job)) YOKE_RETURN_IF_ERROR(FollowInArray(database, before, job));
      updated = std::move(job);
      return absl::OkStatus();
    }));
    return updated;
  }

  absl::StatusOr<jobs::ArrayWithTasks> UpdateArray(
      const std::string& id,
      const std::function<absl::Status(jobs::ArrayWithTasks&)>& change) override {
    absl::StatusOr<jobs::ArrayWithTasks> updated = absl::InternalError("not written");
    YOKE_RETURN_IF_ERROR(writer_.Run([&](SQLite::Database& database) -> absl::Status {
      jobs::ArrayWithTasks before;
      YOKE_ASSIGN_OR_RETURN(before.array, FindJob(database, id));
      if (!jobs::IsArray(before.array.public_job))
        return absl::FailedPreconditionError(absl::StrCat("job ", before.array.id, " is no array"));
      YOKE_ASSIGN_OR_RETURN(before.tasks, OpenTasks(database, before.array.id));
      jobs::ArrayWithTasks after = before;
      YOKE_RETURN_IF_ERROR(change(after));
      jobs::FollowTasks(before, absl::Now(), after);
      if (!after.added.empty()) YOKE_RETURN_IF_ERROR(reserve_.Check());
      Write(database, before.array, after.array);
      for (size_t i = 0; i < after.tasks.size(); ++i) {
        if (IsChanged(before.tasks[i], after.tasks[i]))
          Write(database, before.tasks[i], after.tasks[i]);
      }
      for (JobRecord& task : after.added) Insert(database, task);
      updated = std::move(after);
      return absl::OkStatus();
    }));
    return updated;
  }

  absl::StatusOr<std::vector<jobs::Lease>> ListLeases() override {
    std::vector<jobs::Lease> leases;
    YOKE_RETURN_IF_ERROR(readers_.Run([&](SQLite::Database& database) {
      SQLite::Statement query(
          database,
          "SELECT device_uuid, job_id, attempt, quarantined, quarantine_reason, shared_bytes FROM "
          "lease ORDER BY device_uuid, job_id");
      while (query.executeStep()) {
        leases.push_back({query.getColumn(0).getString(), query.getColumn(1).getString(),
                          query.getColumn(2).getInt(), query.getColumn(3).getInt() != 0,
                          query.getColumn(4).getString(), query.getColumn(5).getInt64()});
      }
      return absl::OkStatus();
    }));
    return leases;
  }

  absl::Status BackUp(const std::string& path) override { return store::BackUp(options_.path, path); }

  absl::StatusOr<std::vector<jobs::JobEvent>> Events(int64_t sequence, int limit, absl::Duration wait) override {
    const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(std::min(wait, absl::Hours(1)));
    {
      MutexLock lock(mutex_);
      while (last_event_.load() <= sequence && event_added_.WaitUntil(mutex_, deadline)) {
      }
    }
    std::vector<jobs::JobEvent> events;
    YOKE_RETURN_IF_ERROR(readers_.Run([&](SQLite::Database& database) -> absl::Status {
      const int64_t oldest = database.execAndGet("SELECT coalesce(min(sequence), 0) FROM event").getInt64();
      if (sequence < 0 || sequence > LastEvent(database) || sequence + 1 < oldest) {
        return absl::OutOfRangeError("that position is no longer kept: list the jobs again and watch from there");
      }
      SQLite::Statement query(database, "SELECT sequence, message FROM event WHERE sequence > ? ORDER BY sequence LIMIT ?");
      query.bind(1, sequence);
      query.bind(2, limit);
      while (query.executeStep()) {
        jobs::JobEvent event;
        event.sequence = query.getColumn(0).getInt64();
        const SQLite::Column message = query.getColumn(1);
        if (!event.job.ParseFromArray(message.getBlob(), message.getBytes())) return absl::DataLossError("a stored change is damaged");
        events.push_back(std::move(event));
      }
      return absl::OkStatus();
    }));
    return events;
  }

  int64_t last_event_sequence() override { return last_event_.load(); }

  // Before the store is used: jobs that the journal does not have come into it.
  absl::Status CompleteJournal(const std::vector<JobRecord>& journalled, bool damaged) {
    YOKE_ASSIGN_OR_RETURN(const std::vector<JobRecord> open, ListOpen());
    std::set<std::string> known;
    for (const JobRecord& job : journalled) known.insert(job.id);
    const bool complete = std::all_of(open.begin(), open.end(), [&known](const JobRecord& job) { return known.contains(job.id); });
    return complete && !damaged && !journal_->WantsRewrite() ? absl::OkStatus() : journal_->Rewrite(open);
  }

  void SetListener(std::function<void()> listener) override {
    MutexLock lock(listener_mutex_);
    listener_ = std::move(listener);
  }

 private:
  // On the writer's thread, as the next three.
  void Insert(SQLite::Database& database, JobRecord& job) {
    job.sequence = database.execAndGet("SELECT coalesce(max(sequence), 0) + 1 FROM job").getInt64();
    job.public_job.set_name(jobs::JobName(job.id));
    Record(database, job);
    YOKE_FAILPOINT("store.insert.before");
    InsertJob(database, job);
    YOKE_FAILPOINT("store.insert.after");
    journal_->Add(job);
  }

  void Write(SQLite::Database& database, const JobRecord& before, JobRecord& job) {
    Record(database, job);
    UpdateJob(database, job);
    if (IsJournalled(before, job)) journal_->Add(job);
  }

  absl::Status FollowInArray(SQLite::Database& database, const JobRecord& before,
                             const JobRecord& task) {
    const absl::StatusOr<std::string> id = jobs::ParseJobName(task.public_job.array_job());
    if (before.public_job.state() == task.public_job.state() || !id.ok()) return absl::OkStatus();
    absl::StatusOr<JobRecord> array = FindJob(database, *id);
    // A database made anew may have lost it; its tasks are jobs of their own then.
    if (absl::IsNotFound(array.status())) return absl::OkStatus();
    YOKE_RETURN_IF_ERROR(array.status());
    const JobRecord counted = *array;
    if (jobs::FollowTask(before.public_job.state(), task.public_job.state(), absl::Now(), *array))
      Write(database, counted, *array);
    return absl::OkStatus();
  }

  // On the writer's thread, before the row is written: the event fixes the etag, which the row
  // carries too.
  void Record(SQLite::Database& database, JobRecord& job) {
    changed_ = true;
    const int64_t sequence = AppendEvent(database, job);
    if (sequence % kTrimEvery != 0) return;
    SQLite::Statement trim(database, "DELETE FROM event WHERE sequence <= ?");
    trim.bind(1, sequence - options_.events_kept);
    trim.exec();
  }

  // On the writer's thread.
  void Done() {
    if (journal_->WantsRewrite()) RewriteJournal();
    if (!std::exchange(changed_, false)) return;
    absl::Status read = readers_.Run([this](SQLite::Database& database) {
      last_event_.store(LastEvent(database));
      return absl::OkStatus();
    });
    {
      MutexLock lock(mutex_);
      event_added_.NotifyAll();
    }
    // Under its mutex: who takes the listener away waits for a call that is going on.
    MutexLock lock(listener_mutex_);
    if (read.ok() && listener_) listener_();
  }

  // Keeps the journal as long as the queue. An error may pass; the journal says when to try again.
  void RewriteJournal() {
    if (const auto open = ListOpen(); open.ok()) journal_->Rewrite(*open).IgnoreError();
  }

  const StoreOptions options_;
  std::atomic<int64_t> last_event_;
  Mutex mutex_;
  CondVar event_added_;
  Mutex listener_mutex_;
  std::function<void()> listener_ YOKE_GUARDED_BY(listener_mutex_);
  bool changed_ = false;  // of the writer's thread: this group changed a job
  const std::unique_ptr<Journal> journal_;  // of the writer's thread
  Reserve reserve_;
  Readers readers_;
  Writer writer_;  // last: its thread uses the members above
};

}  // namespace

std::string JournalPath(const std::string& database_path) { return os::FolderOf(database_path) + "/submissions.journal"; }

absl::StatusOr<std::unique_ptr<jobs::JobStore>> OpenJobStore(const StoreOptions& options, std::vector<std::string>* notes) {
  const auto note = [notes](std::string sentence) {
    if (notes != nullptr) notes->push_back(std::move(sentence));
  };
  absl::StatusOr<std::unique_ptr<SQLite::Database>> database = OpenDatabase(options.path, options.must_exist);
  if (!database.ok() && !absl::IsDataLoss(database.status())) return database.status();
  const bool had_journal = os::FileExists(JournalPath(options.path));
  if (!database.ok() && !had_journal && !options.jobs_elsewhere && AutomaticBackups(options.path).empty()) return database.status();
  YOKE_ASSIGN_OR_RETURN(Journal::Opened opened, Journal::Open(JournalPath(options.path), options.journal_rewrite_bytes));
  if (!database.ok()) {
    const RebuildSources sources{opened.jobs, had_journal && !opened.journal->WantsRewrite(), options.jobs_elsewhere};
    const absl::StatusOr<std::string> done = RebuildDatabase(options.path, database.status(), sources);
    if (!done.ok()) {
      // It would look as if there had been an empty queue.
      if (!had_journal) YOKE_RETURN_IF_ERROR(os::RemoveFile(JournalPath(options.path)));
      return done.status();
    }
    note(*done);
    database = OpenDatabase(options.path, true);
    if (!database.ok()) return database.status();
  }
  YOKE_ASSIGN_OR_RETURN(const Reconciled reconciled, Reconcile(**database, opened.jobs));
  if (opened.bytes_skipped > 0) {
    note(absl::StrCat(JournalPath(options.path), ": ", opened.bytes_skipped, " damaged bytes were skipped; what they said is taken from the database"));
  }
  if (reconciled.created + reconciled.advanced > 0) {
    note(absl::StrCat("the database lacked ", reconciled.created, " job(s) and later changes of ", reconciled.advanced,
                      "; they were taken from the submission journal"));
  }
  YOKE_RETURN_IF_ERROR(RecountArrays(**database).status());
  auto store =
      std::make_unique<SqliteJobStore>(options, *std::move(database), std::move(opened.journal));
  YOKE_RETURN_IF_ERROR(
      store->CompleteJournal(opened.jobs, opened.bytes_cut + opened.bytes_skipped > 0));
  return store;
}

}  // namespace yoke::store
