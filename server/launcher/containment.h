// How the processes of an attempt are kept together: in a control group of their own where this
// daemon may make some, otherwise by the shim that reaps them and the run id in their environment.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"

namespace yoke::launcher {

// Groups lie at OWN/yoke-XXXXXXXX/RUN_ID; XXXXXXXX stands for the state folder. If the daemon's own
// group is called "daemon", they lie beside it, and then the controllers that are there limit them:
// no process may be in a group whose controllers are passed on, so without such a group of its own
// the daemon would stand in its own way.
class Containment {
 public:
  // Looks what this machine lets us do. `own`: the daemon's group, or why there is none.
  static Containment Detect(const absl::StatusOr<std::string>& own, const std::string& state_dir,
                            int processes_max);

  bool uses_cgroups() const { return !folder_.empty(); }
  // "cgroup (/sys/fs/cgroup/…; limits: pids, memory)", "subreaper (no cgroup2 file system is
  // mounted)".
  const std::string& words() const { return words_; }
  // Whether a group limits the number of processes.
  bool limits_processes() const { return limits_processes_; }

  // A group for an attempt, empty or as an earlier try left it. Empty: there is none, now or ever.
  std::string Make(const std::string& run_id) const;

  // Ends and removes what is left of attempts that nobody watches any more; and the folder if it is
  // empty.
  void RemoveOthers(const std::function<bool(const std::string& run_id)>& is_watched) const;

 private:
  std::string base_;    // where `folder_` lies
  std::string folder_;  // empty: no groups
  std::string words_;
  bool limits_processes_ = false, limits_memory_ = false;
  int processes_max_ = 0;
};

}  // namespace yoke::launcher
