#include "server/store/readers.h"

#include <fcntl.h>
#include <sqlite3.h>

#include "common/os/file.h"
#include "server/store/schema.h"

namespace yoke::store {
namespace {
constexpr int kConnectionsMax = 8;
// The system has the pages anyway; a cache of 256 KiB holds the upper ones of each index.
constexpr char kSettings[] =
    "PRAGMA wal_autocheckpoint = 0; PRAGMA query_only = ON; PRAGMA cache_size = -256;";
constexpr char kBegin[] = "BEGIN";
constexpr char kEnd[] = "ROLLBACK";

// SQLite does not say why it cannot open a file.
bool HasSpareDescriptor() { return os::Open("/dev/null", O_RDONLY).ok(); }
}  // namespace

// A connection for the time of its scope. Given back only by Keep: one that threw is closed.
class Readers::Loan {
 public:
  explicit Loan(Readers& readers) : readers_(readers) {
    {
      MutexLock lock(readers_.mutex_);
      while (readers_.taken_ == kConnectionsMax) readers_.given_back_.Wait(readers_.mutex_);
      ++readers_.taken_;
      if (!readers_.idle_.empty()) {
        connection_ = std::move(readers_.idle_.back());
        readers_.idle_.pop_back();
      }
    }
  }
  ~Loan() {
    MutexLock lock(readers_.mutex_);
    --readers_.taken_;
    readers_.given_back_.NotifyOne();
  }
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;

  Statements& Open() {
    if (connection_ == nullptr) {
      connection_.reset(
          new Connection{{readers_.path_, SQLite::OPEN_READONLY, /*busy timeout ms=*/5000}});
      connection_->database.exec(kSettings);
    }
    return connection_->statements;
  }

  void Keep() {
    MutexLock lock(readers_.mutex_);
    readers_.idle_.push_back(std::move(connection_));
  }

 private:
  Readers& readers_;
  std::unique_ptr<Connection> connection_;
};

absl::Status Readers::Run(const std::function<absl::Status(Statements&)>& work) {
  try {
    Loan loan(*this);
    Statements& connection = loan.Open();
    connection.Get(kBegin)->exec();
    absl::Status status = work(connection);
    connection.Get(kEnd)->exec();
    loan.Keep();
    return status;
  } catch (const SQLite::Exception& error) {
    if (error.getErrorCode() == SQLITE_CANTOPEN && !HasSpareDescriptor()) {
      return absl::UnavailableError(
          "cannot read the database now: yoked has no descriptor left (ulimit -n); ask again");
    }
    return ToStatus(error, "cannot read the database");
  }
}

void Readers::Close() {
  MutexLock lock(mutex_);
  idle_.clear();
}

}  // namespace yoke::store
