#include "server/store/writer.h"

#include <errno.h>
#include <sqlite3.h>

#include <utility>

#include "common/os/failpoint.h"
#include "server/store/schema.h"

namespace yoke::store {

Writer::Writer(std::unique_ptr<SQLite::Database> database, std::function<void()> committed)
    : database_(std::move(database)), committed_(std::move(committed)), thread_([this] { Loop(); }) {}

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
    committed_();
    YOKE_FAILPOINT("store.answer.before");
    MutexLock lock(mutex_);
    for (Request* request : group) request->done = true;
    answered_.NotifyAll();
  }
}

void Writer::Commit(const std::vector<Request*>& group) {
  try {
    YOKE_FAILPOINT("store.begin.before");
    SQLite::Transaction transaction(*database_, SQLite::TransactionBehavior::IMMEDIATE);
    for (Request* request : group) {
      try {
        database_->exec("SAVEPOINT work");
        request->status = (*request->work)(*database_);
      } catch (const SQLite::Exception& error) {
        request->status = ToStatus(error, "cannot write to the database");
      }
      if (!request->status.ok()) database_->exec("ROLLBACK TO work");
      database_->exec("RELEASE work");
    }
    if (const int error = YOKE_FAILPOINT_ERROR("store.commit.before")) {
      throw SQLite::Exception("failpoint", error == ENOSPC ? SQLITE_FULL : SQLITE_IOERR);
    }
    transaction.commit();
    YOKE_FAILPOINT("store.commit.after");
  } catch (const SQLite::Exception& error) {
    // A full disk or an I/O error: the whole group is undone, and each caller hears it.
    const absl::Status failure = ToStatus(error, "cannot commit to the database");
    for (Request* request : group) {
      if (request->status.ok()) request->status = failure;
    }
  }
}

}  // namespace yoke::store
