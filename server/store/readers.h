// Connections that only read: made when needed, kept for the next reader, never checkpointing.
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
  // Runs `work` in one read transaction: all it sees is of one moment.
  absl::Status Run(const std::function<absl::Status(SQLite::Database&)>& work);
  // Closes what is kept, so that the writer's connection is the last one and folds the log in.
  void Close();

 private:
  std::unique_ptr<SQLite::Database> Take();
  void GiveBack(std::unique_ptr<SQLite::Database> connection);

  const std::string path_;
  Mutex mutex_;
  std::vector<std::unique_ptr<SQLite::Database>> idle_ YOKE_GUARDED_BY(mutex_);
};

}  // namespace yoke::store
