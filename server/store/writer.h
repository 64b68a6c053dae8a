// The one thread that writes, and one that makes durable what was written. What is asked while it commits is committed
// together, and what was committed during a sync shares the next one.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "server/jobs/job_store.h"
#include "server/store/statements.h"

namespace yoke::store {

// All but `sync` called on the writer's thread.
struct CommitHooks {
  // Before a group commits; an error undoes the group.
  std::function<absl::Status()> before;
  // How it went: the database has the group, or nothing of it.
  std::function<void(bool committed)> after;
  // The disk is full: whether some room could be made, and the group shall be tried once more.
  std::function<bool()> full;
  // After that, and before the callers return: whether any of the group's work was kept.
  std::function<void(bool kept)> written;
  // On a thread of its own: makes durable all that was committed until now. An error is every waiting caller's,
  // as Unavailable: whether it is kept is not known.
  std::function<absl::Status()> sync;
};

class Writer {
 public:
  using Work = std::function<absl::Status(Statements&)>;

  Writer(std::unique_ptr<SQLite::Database> database, CommitHooks hooks);
  // Finishes what was asked before.
  ~Writer();

  // Runs `work` on the writer's thread in a transaction and waits for its commit, or until that is durable. An error of `work`
  // undoes what it wrote, and nothing else. `work` may be called twice: what was written the first time is undone then.
  absl::Status Run(const Work& work, jobs::Until until = jobs::Until::kDurable);
  // The same for each of these, with one commit.
  std::vector<absl::Status> RunEach(const std::vector<Work>& works, jobs::Until until);

  // On the writer's thread.
  SQLite::Database& database() { return *database_; }

 private:
  struct Request {
    const Work* work;
    jobs::Until until;
    absl::Status status;
    bool done = false;
  };

  void Loop();
  void SyncLoop();
  // All of the group are through with the writer's thread.
  void HandOver(const std::vector<Request*>& group);
  void Commit(const std::vector<Request*>& group);
  // ResourceExhausted: the disk is full, and nothing of the group was written.
  absl::Status TryCommit(const std::vector<Request*>& group);
  absl::Status StatusOf(const SQLite::Exception& error, const std::string& what) const;

  const std::unique_ptr<SQLite::Database> database_;
  Statements statements_;
  const CommitHooks hooks_;
  Mutex mutex_;
  CondVar asked_, answered_, written_;
  std::vector<Request*> waiting_ YOKE_GUARDED_BY(mutex_);
  std::vector<Request*> unsynced_ YOKE_GUARDED_BY(mutex_);
  bool dirty_ YOKE_GUARDED_BY(mutex_) = false;  // something was written since the last sync began
  bool stopping_ YOKE_GUARDED_BY(mutex_) = false;
  bool wrote_last_ YOKE_GUARDED_BY(mutex_) = false;
  std::thread thread_, syncer_;  // last: they use the members above
};

}  // namespace yoke::store
