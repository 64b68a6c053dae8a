#include "server/store/writer.h"

#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/os/failpoint.h"
#include "server/store/schema.h"

namespace yoke::store {
namespace {

// Of what is only to be written, and may be lost with the power until then.
constexpr std::chrono::milliseconds kSyncDelay(10);

constexpr char kBegin[] = "SAVEPOINT work";
constexpr char kRollBack[] = "ROLLBACK TO work";
constexpr char kEnd[] = "RELEASE work";

}  // namespace

Writer::Writer(std::unique_ptr<SQLite::Database> database, CommitHooks hooks)
    : database_(std::move(database)), statements_(*database_), hooks_(std::move(hooks)), thread_([this] { Loop(); }), syncer_([this] { SyncLoop(); }) {}

Writer::~Writer() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    asked_.NotifyAll();
  }
  thread_.join();
  {
    MutexLock lock(mutex_);
    wrote_last_ = true;
    written_.NotifyAll();
  }
  syncer_.join();
}

absl::Status Writer::Run(const Work& work, jobs::Until until) {
  Request request{&work, until};
  MutexLock lock(mutex_);
  waiting_.push_back(&request);
  asked_.NotifyOne();
  while (!request.done) answered_.Wait(mutex_);
  return request.status;
}

std::vector<absl::Status> Writer::RunEach(const std::vector<Work>& works, jobs::Until until) {
  std::vector<Request> requests;
  requests.reserve(works.size());
  for (const Work& work : works) requests.push_back({&work, until});
  if (requests.empty()) return {};
  {
    MutexLock lock(mutex_);
    for (Request& request : requests) waiting_.push_back(&request);
    asked_.NotifyOne();
    // They are of one group, but one that was refused is done before the others are durable.
    for (const Request& request : requests) {
      while (!request.done) answered_.Wait(mutex_);
    }
  }
  std::vector<absl::Status> statuses;
  for (Request& request : requests) statuses.push_back(std::move(request.status));
  return statuses;
}

void Writer::Loop() {
  for (;;) {
    std::vector<Request*> group;
    {
      MutexLock lock(mutex_);
      while (waiting_.empty() && !stopping_) asked_.Wait(mutex_);
      if (waiting_.empty()) return;
      group.swap(waiting_);
    }
    Commit(group);
    YOKE_FAILPOINT("store.announce.before");
    hooks_.written(std::any_of(group.begin(), group.end(), [](const Request* request) { return request->status.ok(); }));
    HandOver(group);
  }
}

void Writer::HandOver(const std::vector<Request*>& group) {
  MutexLock lock(mutex_);
  for (Request* request : group) {
    // Nothing of one that was refused is there to be synced.
    if (request->status.ok()) dirty_ = true;
    if (request->until == jobs::Until::kWritten || !request->status.ok()) {
      request->done = true;
    } else {
      unsynced_.push_back(request);
    }
  }
  answered_.NotifyAll();
  written_.NotifyAll();
}

void Writer::SyncLoop() {
  for (;;) {
    std::vector<Request*> group;
    {
      MutexLock lock(mutex_);
      while (!dirty_ && !wrote_last_) written_.Wait(mutex_);
      if (!dirty_) return;
      // Nobody waits: what else is written in the next moment comes with it.
      const auto deadline = std::chrono::steady_clock::now() + kSyncDelay;
      while (unsynced_.empty() && !wrote_last_ && written_.WaitUntil(mutex_, deadline)) {
      }
      dirty_ = false;
      group.swap(unsynced_);
    }
    // It is in the database, so even a full disk is no refusal.
    absl::Status synced = hooks_.sync();
    if (!synced.ok()) {
      synced = absl::UnavailableError(absl::StrCat(synced.message(), "; what was asked is written, but may not outlive a crash: ask again"));
    }
    YOKE_FAILPOINT("store.answer.before");
    MutexLock lock(mutex_);
    for (Request* request : group) {
      request->status = synced;
      request->done = true;
    }
    answered_.NotifyAll();
  }
}

void Writer::Commit(const std::vector<Request*>& group) {
  absl::Status failure = TryCommit(group);
  if (absl::IsResourceExhausted(failure) && hooks_.full()) failure = TryCommit(group);
  // A full disk or an I/O error: the whole group is undone, and each caller hears it.
  for (Request* request : group) {
    if (request->status.ok()) request->status = failure;
  }
}

absl::Status Writer::TryCommit(const std::vector<Request*>& group) {
  absl::Status failure;
  try {
    YOKE_FAILPOINT("store.begin.before");
    SQLite::Transaction transaction(*database_, SQLite::TransactionBehavior::IMMEDIATE);
    for (Request* request : group) {
      try {
        statements_.Get(kBegin)->exec();
        request->status = (*request->work)(statements_);
      } catch (const SQLite::Exception& error) {
        request->status = StatusOf(error, "cannot write to the database");
        // SQLite may have undone the transaction by itself.
        if (absl::IsResourceExhausted(request->status)) throw;
      }
      if (!request->status.ok()) statements_.Get(kRollBack)->exec();
      statements_.Get(kEnd)->exec();
    }
    failure = hooks_.before();
    if (failure.ok()) {
      if (const int error = YOKE_FAILPOINT_ERROR("store.commit.before")) {
        throw SQLite::Exception("failpoint", error == ENOSPC ? SQLITE_FULL : SQLITE_IOERR);
      }
      transaction.commit();
      YOKE_FAILPOINT("store.commit.after");
    }
  } catch (const SQLite::Exception& error) {
    failure = StatusOf(error, "cannot commit to the database");
  }
  hooks_.after(failure.ok());
  return failure;
}

absl::Status Writer::StatusOf(const SQLite::Exception& error, const std::string& what) const {
  const absl::Status status = ToStatus(error, what);
  if (sqlite3_system_errno(database_->getHandle()) != ENOSPC || absl::IsResourceExhausted(status)) return status;
  return absl::ResourceExhaustedError(status.message());
}

}  // namespace yoke::store
