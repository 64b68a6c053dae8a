// Connections that only read: made when needed, kept for the next reader, never checkpointing. Few: SQLite closes
// descriptors of a file only when no connection has a lock on it, so as many as ever read at once stay open.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"

namespace yoke::store {

class Readers {
 public:
  explicit Readers(std::string path) : path_(std::move(path)) {}
  // Runs `work` in one read transaction: all it sees is of one moment. Waits while many others read. REQUIRES: `work`
  // does not read by itself.
  absl::Status Run(const std::function<absl::Status(SQLite::Database&)>& work);
  // Closes what is kept, so that the writer's connection is the last one and folds the log in.
  void Close();

 private:
  // One that is kept; null: make one.
  std::unique_ptr<SQLite::Database> Take();
  // null: it is of no use any more.
  void GiveBack(std::unique_ptr<SQLite::Database> connection);

  const std::string path_;
  Mutex mutex_;
  CondVar given_back_;
  int taken_ YOKE_GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<SQLite::Database>> idle_ YOKE_GUARDED_BY(mutex_);
};

}  // namespace yoke::store
