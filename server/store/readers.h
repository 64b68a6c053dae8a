// Connections that only read: made when needed, kept for the next reader, never checkpointing.
// Never more than a few: SQLite keeps the descriptor of every connection there ever was at once,
// and each has a cache of pages.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "server/store/statements.h"

namespace yoke::store {

class Readers {
 public:
  explicit Readers(std::string path) : path_(std::move(path)) {}
  // Runs `work` in one read transaction: all it sees is of one moment. Waits while all connections
  // are taken: `work` must not ask for another one. Unavailable where no descriptor is left.
  absl::Status Run(const std::function<absl::Status(Statements&)>& work);
  // Closes what is kept, so that the writer's connection is the last one and folds the log in.
  void Close();

 private:
  class Loan;
  struct Connection {
    SQLite::Database database;
    Statements statements{database};
  };

  const std::string path_;
  Mutex mutex_;
  CondVar given_back_;
  int taken_ YOKE_GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<Connection>> idle_ YOKE_GUARDED_BY(mutex_);
};

}  // namespace yoke::store
