// One attempt's folder, as the daemon writes and reads it (layout: common/ipc/attempt_files.h).
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/ipc/attempt_files.h"

namespace yoke::launcher {

// "<state>/jobs", "<jobs_root>/ID", "<jobs_root>/ID/run", "<jobs_root>/ID/attempts/N".
std::string JobsRoot(const std::string& state_dir);
std::string RunDir(const std::string& jobs_root, const std::string& job_id);
std::string AttemptDir(const std::string& jobs_root, const std::string& job_id, int attempt);

enum class Sight {
  kNotStarted,  // no shim has claimed it
  kAlive,       // a shim holds its lock
  kEnded,       // exit.json is there and the lock is free
  kLost,        // it was claimed, nobody holds the lock, and no record says how it ended
};

struct Observation {
  Sight sight = Sight::kNotStarted;
  std::optional<ipc::StartRecord> started;  // absent also while it is being written
  std::optional<ipc::ExitRecord> exit;      // not looked for while it is alive
};

class AttemptFolder {
 public:
  explicit AttemptFolder(std::string dir) : dir_(std::move(dir)) {}

  // The folders and spec.json; the shim makes them durable, together with its claim. OK if they are there already.
  absl::Status Create(const ipc::AttemptSpec& spec) const;
  // Asks without taking anything. An error means that nothing can be said: neither reap nor start then.
  absl::StatusOr<Observation> Observe() const;
  absl::Status WriteStop(const ipc::StopRequest& request) const;
  // The control group of its processes, as its specification says; empty: none.
  std::string Cgroup() const;
  // Rank 0's log is there: the ranks were started.
  bool RanksStarted() const;

  std::string Path(const std::string& name) const { return dir_ + "/" + name; }
  const std::string& dir() const { return dir_; }

 private:
  std::string dir_;
};

}  // namespace yoke::launcher
