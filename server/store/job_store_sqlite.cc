#include "server/store/job_store_sqlite.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <future>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/os/failpoint.h"
#include "common/os/file.h"
#include "server/jobs/array.h"
#include "server/jobs/ids.h"
#include "server/jobs/open_jobs.h"
#include "server/jobs/state_machine.h"
#include "server/store/arrays.h"
#include "server/store/backup.h"
#include "server/store/open_view.h"
#include "server/store/queries.h"
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
// Ids of jobs that were not submitted in one batch are random: they touch most pages of their index, 5 MiB for 100,000.
constexpr int kWriterCacheKib = 16 << 10;
constexpr char kNextSequence[] = "SELECT coalesce(max(sequence), 0) + 1 FROM job";

constexpr char kKnownRequest[] = "SELECT 1 FROM job WHERE owner = ? AND request_id = ?";
constexpr char kTrim[] = "DELETE FROM event WHERE sequence <= ?";

int64_t NewestEvent(SQLite::Database& database) {
  Statements statements(database);
  return LastEvent(statements);
}

class SqliteJobStore : public jobs::JobStore {
 public:
  SqliteJobStore(const StoreOptions& options, std::unique_ptr<SQLite::Database> database,
                 std::unique_ptr<Journal> journal)
      : options_(options),
        last_event_(NewestEvent(*database)),
        journal_(std::move(journal)),
        reserve_(os::FolderOf(options.path) + "/reserve", options.reserve_bytes),
        readers_(options.path),
        writer_(std::move(database), {[this] { return FlushJournal(); },
                                      [this](bool committed) { Committed(committed); },
                                      [this] { return reserve_.Release(); },
                                      [this](bool kept) { Done(kept); },
                                      [this] { return Sync(); }}) {}

  ~SqliteJobStore() override { readers_.Close(); }

  absl::StatusOr<JobRecord> Create(JobRecord job) override {
    YOKE_RETURN_IF_ERROR(writer_.Run([&](Statements& statements) -> absl::Status {
      YOKE_ASSIGN_OR_RETURN(const std::optional<std::string> fresh, Insert(statements, job));
      if (fresh) NoteNew(job, *fresh);
      return absl::OkStatus();
    }));
    return job;
  }

  absl::StatusOr<std::vector<JobRecord>> CreateAll(std::vector<JobRecord> jobs) override {
    YOKE_RETURN_IF_ERROR(writer_.Run([&](Statements& statements) -> absl::Status {
      std::vector<Fresh> fresh;
      for (size_t i = 0; i < jobs.size(); ++i) {
        absl::StatusOr<std::optional<std::string>> inserted = Insert(statements, jobs[i]);
        if (!inserted.ok()) {
          absl::Status refused = inserted.status();
          refused.SetPayload(jobs::kIndexPayload, absl::Cord(absl::StrCat(i)));
          return refused;
        }
        if (*inserted) fresh.push_back({&jobs[i], **std::move(inserted)});
      }
      NoteAllNew(fresh);
      return absl::OkStatus();
    }));
    return jobs;
  }

  absl::StatusOr<JobRecord> Get(const std::string& id_or_prefix) override {
    absl::StatusOr<JobRecord> found = absl::InternalError("not read");
    YOKE_RETURN_IF_ERROR(readers_.Run([&](Statements& statements) {
      found = FindJob(statements, id_or_prefix);
      return found.status();
    }));
    return found;
  }

  absl::StatusOr<jobs::Page> List(const jobs::JobFilter& filter, int page_size, const std::string& page_token) override {
    return ReadPage<jobs::Page>(filter, page_size, page_token, kJobColumns, JobFromRow);
  }

  absl::StatusOr<jobs::StoredPage> ListStored(const jobs::JobFilter& filter, int page_size,
                                              const std::string& page_token) override {
    static const std::string columns = absl::StrCat(kJobColumns, ", ", kStoredColumns);
    return ReadPage<jobs::StoredPage>(filter, page_size, page_token, columns, StoredFromRow);
  }

  absl::StatusOr<std::vector<JobRecord>> ListOpen() override {
    std::vector<JobRecord> open;
    YOKE_RETURN_IF_ERROR(readers_.Run([&](Statements& statements) -> absl::Status {
      YOKE_ASSIGN_OR_RETURN(open, ReadOpen(statements.database()));
      return absl::OkStatus();
    }));
    return open;
  }

  jobs::OpenJobs Open() override { return view_.Open(); }

  absl::StatusOr<int64_t> CountRequests(const std::string& owner, const std::vector<std::string>& request_ids) override {
    int64_t count = 0;
    YOKE_RETURN_IF_ERROR(readers_.Run([&](Statements& statements) {
      for (const std::string& request_id : request_ids) {
        if (request_id.empty()) continue;
        const Statements::Use query = statements.Get(kKnownRequest);
        query->bind(1, owner);
        query->bind(2, request_id);
        if (query->executeStep()) ++count;
      }
      return absl::OkStatus();
    }));
    return count;
  }

  absl::StatusOr<JobRecord> Update(const std::string& id, const std::function<absl::Status(JobRecord&, LeaseChange&)>& change,
                                   jobs::Until until) override {
    absl::StatusOr<JobRecord> updated = absl::InternalError("not written");
    YOKE_RETURN_IF_ERROR(writer_.Run(
        [&](Statements& statements) { return Change(statements, id, change, updated); }, until));
    return updated;
  }

  std::vector<absl::StatusOr<JobRecord>> UpdateEach(const std::vector<Edit>& edits, jobs::Until until) override {
    std::vector<absl::StatusOr<JobRecord>> updated(edits.size(), absl::InternalError("not written"));
    std::vector<Writer::Work> works;
    for (size_t i = 0; i < edits.size(); ++i) {
      works.push_back([this, &edit = edits[i], &result = updated[i]](Statements& statements) {
        return Change(statements, edit.id, edit.change, result);
      });
    }
    const std::vector<absl::Status> statuses = writer_.RunEach(works, until);
    for (size_t i = 0; i < edits.size(); ++i) {
      if (!statuses[i].ok()) updated[i] = statuses[i];
    }
    return updated;
  }

  absl::StatusOr<jobs::ArrayWithTasks> UpdateArray(const std::string& id,
                                                  const std::function<absl::Status(jobs::ArrayWithTasks&)>& change) override {
    absl::StatusOr<jobs::ArrayWithTasks> updated = absl::InternalError("not written");
    YOKE_RETURN_IF_ERROR(writer_.Run(
        [&](Statements& statements) { return ChangeArray(statements, id, change, updated); }));
    return updated;
  }

  absl::StatusOr<std::vector<jobs::Lease>> ListLeases() override {
    std::vector<jobs::Lease> leases;
    YOKE_RETURN_IF_ERROR(readers_.Run([&](Statements& statements) {
      leases = ReadLeases(statements);
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
    YOKE_RETURN_IF_ERROR(readers_.Run([&](Statements& statements) -> absl::Status {
      YOKE_ASSIGN_OR_RETURN(events, ReadEvents(statements, sequence, limit));
      return absl::OkStatus();
    }));
    return events;
  }

  int64_t last_event_sequence() override { return last_event_.load(); }

  // Before the store is used: jobs that the journal does not have come into it, and the open ones into memory.
  absl::Status Begin(const std::vector<JobRecord>& open, const std::vector<JobRecord>& journalled, bool damaged) {
    YOKE_ASSIGN_OR_RETURN(log_fd_, os::Open(LogPath(), O_RDONLY));  // later a failure would refuse what is stored
    for (const JobRecord& job : open) view_.Stage(job);
    view_.Keep();
    std::set<std::string> known;
    for (const JobRecord& job : journalled) known.insert(job.id);
    const bool complete = std::all_of(open.begin(), open.end(), [&known](const JobRecord& job) { return known.contains(job.id); });
    return complete && !damaged && !journal_->WantsRewrite() ? absl::OkStatus() : journal_->Rewrite(open);
  }

  void SetListener(std::function<void(bool planned)> listener) override {
    MutexLock lock(listener_mutex_);
    listener_ = std::move(listener);
  }

 private:
  // A page of what `read` makes of these columns of a row.
  template <typename Page, typename Item>
  absl::StatusOr<Page> ReadPage(const jobs::JobFilter& filter, int page_size,
                                const std::string& page_token, absl::string_view columns,
                                absl::StatusOr<Item> (*read)(SQLite::Statement&)) {
    int64_t before = INT64_MAX;
    if (!page_token.empty() && !absl::SimpleAtoi(page_token, &before)) {
      return absl::InvalidArgumentError(
          "the page token is none of ours: list again from the first page");
    }
    const int size = std::min(std::max(page_size, 1), kPageMax);
    Page page;
    page.jobs.reserve(static_cast<size_t>(size) + 1);
    YOKE_RETURN_IF_ERROR(readers_.Run([&](Statements& statements) -> absl::Status {
      const Where where = ToWhere(filter);
      SQLite::Statement query(statements.database(),
                              absl::StrCat("SELECT ", columns, " FROM job WHERE ", where.sql,
                                           " AND sequence < ? ORDER BY sequence DESC LIMIT ?"));
      int at = 0;
      for (const std::string& value : where.values) query.bind(++at, value);
      query.bind(++at, before);
      query.bind(++at, size + 1);
      while (query.executeStep()) {
        YOKE_ASSIGN_OR_RETURN(Item job, read(query));
        page.jobs.push_back(std::move(job));
      }
      page.event_sequence = LastEvent(statements);
      return absl::OkStatus();
    }));
    if (static_cast<int>(page.jobs.size()) > size) {
      page.jobs.resize(size);
      page.next_page_token = absl::StrCat(page.jobs.back().sequence);
    }
    return page;
  }

  // On the writer's thread.
  absl::Status Change(Statements& statements, const std::string& id,
                      const std::function<absl::Status(JobRecord&, LeaseChange&)>& change,
                      absl::StatusOr<JobRecord>& updated) {
    YOKE_ASSIGN_OR_RETURN(JobRecord job, FindJob(statements, id));
    const JobRecord before = job;
    LeaseChange leases;
    YOKE_RETURN_IF_ERROR(change(job, leases));
    if (!leases.take.empty()) YOKE_RETURN_IF_ERROR(reserve_.Check());
    YOKE_RETURN_IF_ERROR(ChangeLeases(statements, job, leases));
    planned_ = planned_ || !leases.take.empty() || !leases.release.empty() || !leases.quarantine.empty();
    const std::string message = Write(statements, job);
    YOKE_ASSIGN_OR_RETURN(std::optional<ArrayChange> array, FollowInArray(statements, before, job));
    const std::string array_message = array ? Write(statements, array->after) : "";
    NoteChange(before, job, message);
    if (array) NoteChange(array->before, array->after, array_message);
    updated = std::move(job);
    return absl::OkStatus();
  }

  // On the writer's thread.
  absl::Status ChangeArray(Statements& statements, const std::string& id,
                           const std::function<absl::Status(jobs::ArrayWithTasks&)>& change,
                           absl::StatusOr<jobs::ArrayWithTasks>& updated) {
    YOKE_ASSIGN_OR_RETURN(const jobs::ArrayWithTasks before, ReadArray(statements, id));
    jobs::ArrayWithTasks after = before;
    YOKE_RETURN_IF_ERROR(change(after));
    jobs::FollowTasks(before, absl::Now(), after);
    const std::string array_message = Write(statements, after.array);
    std::vector<std::pair<size_t, std::string>> changed;
    for (size_t i = 0; i < after.tasks.size(); ++i) {
      if (!IsChanged(before.tasks[i], after.tasks[i])) continue;
      changed.emplace_back(i, Write(statements, after.tasks[i]));
    }
    std::vector<Fresh> fresh;
    for (JobRecord& task : after.added) {
      YOKE_ASSIGN_OR_RETURN(std::optional<std::string> message, Insert(statements, task));
      if (message) fresh.push_back({&task, *std::move(message)});
    }
    // The array counts the tasks that were made: the journal has it with all of them, or not at all.
    NoteChange(before.array, after.array, array_message, fresh.size());
    NoteAllNew(fresh);
    for (const auto& [i, message] : changed) NoteChange(before.tasks[i], after.tasks[i], message);
    updated = std::move(after);
    return absl::OkStatus();
  }

  // A job that was stored just now, and how it is encoded.
  struct Fresh {
    const JobRecord* job;
    std::string message;
  };

  // On the writer's thread: a job that was written before. Returns how it is encoded.
  std::string Write(Statements& statements, JobRecord& job) {
    std::string message = Record(statements, job);
    UpdateJob(statements, job, message);
    return message;
  }

  // On the writer's thread, once all that belongs together was written.
  void NoteAllNew(const std::vector<Fresh>& fresh) {
    for (size_t i = 0; i < fresh.size(); ++i)
      NoteNew(*fresh[i].job, fresh[i].message, fresh.size() - 1 - i);
  }
  void NoteNew(const JobRecord& job, const std::string& message, size_t batch_left = 0) {
    journal_->Add(job, message, batch_left);
    view_.Stage(job);
    planned_ = true;
  }
  void NoteChange(const JobRecord& before, const JobRecord& job, const std::string& message,
                  size_t batch_left = 0) {
    planned_ = planned_ || !jobs::PlansAlike(before, job);
    if (IsJournalled(before, job)) journal_->Add(job, message, batch_left);
    view_.Stage(job);
  }

  // On the writer's thread.
  absl::Status FlushJournal() {
    if (journal_->broken()) RewriteJournal();
    return journal_->Flush();
  }

  // On a thread of the writer's own. The two files are synced at once: each waits for the disk.
  absl::Status Sync() {
    std::future<absl::Status> journal = std::async([this] { return journal_->Sync(); });
    const absl::Status log = SyncLog();
    const absl::Status kept = journal.get();
    return kept.ok() ? log : kept;
  }

  std::string LogPath() const { return options_.path + "-wal"; }
  // What SQLite has appended to its log; the connection itself syncs only when it folds the log into the database.
  absl::Status SyncLog() {
    if (fdatasync(log_fd_.get()) == 0) return absl::OkStatus();
    const absl::Status status = os::ErrnoStatus(errno, absl::StrCat("cannot sync ", LogPath()));
    log_unsure_ = true;
    return status;
  }

  // On the writer's thread.
  void Committed(bool committed) {
    if (committed) {
      journal_->Keep();
      view_.Keep();
    } else {
      journal_->Undo();
      view_.Undo();
    }
  }

  // On the writer's thread. `job` becomes what is stored. Returns how it is encoded; nothing: it
  // was stored before.
  absl::StatusOr<std::optional<std::string>> Insert(Statements& statements, JobRecord& job) {
    if (!job.request_id.empty()) {
      static const std::string kKnown = absl::StrCat("SELECT ", kJobColumns, " FROM job WHERE owner = ? AND request_id = ?");
      const Statements::Use query = statements.Get(kKnown.c_str());
      query->bind(1, job.public_job.owner());
      query->bind(2, job.request_id);
      if (query->executeStep()) {
        YOKE_ASSIGN_OR_RETURN(JobRecord stored, JobFromRow(*query));
        if (stored.request_hash != job.request_hash) {
          return absl::InvalidArgumentError("REQUEST_ID_REUSED: this request_id belongs to another request; make a new one for each request");
        }
        job = std::move(stored);
        return std::nullopt;
      }
    }
    YOKE_RETURN_IF_ERROR(reserve_.Check());
    job.sequence = statements.Number(kNextSequence);
    job.public_job.set_name(jobs::JobName(job.id));
    std::string message = Record(statements, job);
    YOKE_FAILPOINT("store.insert.before");
    InsertJob(statements, job, message);
    YOKE_FAILPOINT("store.insert.after");
    return message;
  }

  // On the writer's thread, before the row is written: the event fixes the etag, which the row
  // carries too. Returns the job, encoded.
  std::string Record(Statements& statements, JobRecord& job) {
    changed_ = true;
    Event event = AppendEvent(statements, job);
    if (event.sequence % kTrimEvery == 0) {
      const Statements::Use trim = statements.Get(kTrim);
      trim->bind(1, event.sequence - options_.events_kept);
      trim->exec();
    }
    return std::move(event.message);
  }

  // On the writer's thread.
  void Done(bool kept) {
    if (log_unsure_) MoveLog();
    if (journal_->WantsRewrite()) RewriteJournal();
    const bool planned = std::exchange(planned_, false);
    // Who is told of a change that was refused may ask for it again at once, without end.
    if (!std::exchange(changed_, false) || !kept) return;
    readers_
        .Run([this](Statements& statements) {
          last_event_.store(LastEvent(statements));
          return absl::OkStatus();
        })
        .IgnoreError();  // the next change makes up for it
    {
      MutexLock lock(mutex_);
      event_added_.NotifyAll();
    }
    // Under its mutex: who takes the listener away waits for a call that is going on.
    MutexLock lock(listener_mutex_);
    // Also where the read failed, of descriptors for one: nobody may tell of this change again.
    if (listener_) listener_(planned);
  }

  // Of a log that could not be synced nobody knows what is on the disk: all of it is written into the database itself.
  void MoveLog() {
    try {
      writer_.database().exec("PRAGMA wal_checkpoint(TRUNCATE)");
      log_unsure_ = false;
    } catch (const SQLite::Exception&) {
      // Tried again after the next group.
    }
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
  std::function<void(bool planned)> listener_ YOKE_GUARDED_BY(listener_mutex_);
  // Of the writer's thread: whether this group changed a job, and more than what is for people only.
  bool changed_ = false;
  bool planned_ = false;
  const std::unique_ptr<Journal> journal_;  // of the writer's thread
  OpenView view_;
  os::UniqueFd log_fd_;  // of the writer's syncing thread
  std::atomic<bool> log_unsure_ = false;
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
  YOKE_ASSIGN_OR_RETURN(const std::vector<JobRecord> open, RecountOpen(**database));
  // From here on the store syncs by itself what a commit has written (SyncLog).
  (*database)->exec(absl::StrCat("PRAGMA synchronous = NORMAL; PRAGMA cache_size = -",
                                 kWriterCacheKib,
                                 "; PRAGMA wal_autocheckpoint = ", options.log_pages));
  auto store = std::make_unique<SqliteJobStore>(options, *std::move(database), std::move(opened.journal));
  YOKE_RETURN_IF_ERROR(store->Begin(open, opened.jobs, opened.bytes_cut + opened.bytes_skipped > 0));
  return store;
}

}  // namespace yoke::store
