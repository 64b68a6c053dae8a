#include "server/store/writer.h"

#include <sqlite3.h>

#include <cerrno>
#include <utility>

#include "common/os/failpoint.h"
#include "server/store/schema.h"

namespace yoke::store {

Writer::Writer(std::unique_ptr<SQLite::Database> database, CommitHooks hooks)
    : database_(std::move(database)), hooks_(std::move(hooks)), thread_([this] { Loop(); }) {}

Writer::~Writer() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    asked_.NotifyAll();
  }
  thread_.join();
}

absl::Status Writer::Run(const std::function<absl::Status(SQLite::Database&)>& work) {
  Request request{&work};
  MutexLock lock(mutex_);
  waiting_.push_back(&request);
  asked_.NotifyOne();
  while (!request.done) answered_.Wait(mutex_);
  return request.status;
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
    hooks_.done();
    YOKE_FAILPOINT("store.answer.before");
    MutexLock lock(mutex_);
    for (Request* request : group) request->done = true;
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
        database_->exec("SAVEPOINT work");
        request->status = (*request->work)(*database_);
      } catch (const SQLite::Exception& error) {
        request->status = StatusOf(error, "cannot write to the database");
        // SQLite may have undone the transaction by itself.
        if (absl::IsResourceExhausted(request->status)) throw;
      }
      if (!request->status.ok()) database_->exec("ROLLBACK TO work");
      database_->exec("RELEASE work");
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
