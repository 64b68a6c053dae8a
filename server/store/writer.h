// The one thread that writes. What is asked while it commits is committed together, so that many callers
// share the cost of one durable commit.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"

namespace yoke::store {

// All called on the writer's thread.
struct CommitHooks {
  // Before a group commits; an error undoes the group.
  std::function<absl::Status()> before;
  // How it went: the database has the group, or nothing of it.
  std::function<void(bool committed)> after;
  // The disk is full: whether some room could be made, and the group shall be tried once more.
  std::function<bool()> full;
  // Before the callers return, however it went.
  std::function<void()> done;
};

class Writer {
 public:
  Writer(std::unique_ptr<SQLite::Database> database, CommitHooks hooks);
  // Finishes what was asked before.
  ~Writer();

  // Runs `work` on the writer's thread in a transaction and waits for its durable commit. An error of `work`
  // undoes what it wrote, and nothing else. `work` may be called twice: what was written the first time is undone then.
  absl::Status Run(const std::function<absl::Status(SQLite::Database&)>& work);

 private:
  struct Request {
    const std::function<absl::Status(SQLite::Database&)>* work;
    absl::Status status;
    bool done = false;
  };

  void Loop();
  void Commit(const std::vector<Request*>& group);
  // ResourceExhausted: the disk is full, and nothing of the group was written.
  absl::Status TryCommit(const std::vector<Request*>& group);
  absl::Status StatusOf(const SQLite::Exception& error, const std::string& what) const;

  const std::unique_ptr<SQLite::Database> database_;
  const CommitHooks hooks_;
  Mutex mutex_;
  CondVar asked_, answered_;
  std::vector<Request*> waiting_ YOKE_GUARDED_BY(mutex_);
  bool stopping_ YOKE_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the members above
};

}  // namespace yoke::store
