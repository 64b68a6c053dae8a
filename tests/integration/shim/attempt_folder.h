// A folder of one attempt for the real shim and fake_worker, and the shim's process.
#pragma once

#include <string>
#include <vector>

#include "common/ipc/attempt_files.h"
#include "common/ipc/progress.h"
#include "common/os/process.h"

namespace yoke {

class AttemptFolder {
 public:
  // `ranks` fake workers on CPU slots, which behave as `script` says, stopped with one second of grace.
  AttemptFolder(int ranks, const nlohmann::json& script);
  // Kills what is left of the attempt and removes the folder.
  ~AttemptFolder();
  AttemptFolder(const AttemptFolder&) = delete;
  AttemptFolder& operator=(const AttemptFolder&) = delete;

  // Change it before Start.
  ipc::AttemptSpec spec;

  // Writes spec.json and starts a shim.
  pid_t Start();
  // Waits for the shim to end; its exit code, or -1 if a signal ended it.
  static int Wait(pid_t shim);
  // Start, wait, and the record. Fails the test unless the shim ends with 0.
  ipc::ExitRecord Run();

  void AskToStop(pid_t shim, const std::string& reason, double grace_seconds);
  ipc::ExitRecord ReadExit() const;
  std::string ReadText(const std::string& name) const;  // empty if there is no such file
  bool Has(const std::string& name) const;

  // Processes that carry this attempt's marker, which the shim does not.
  std::vector<pid_t> Processes() const;
  // Waits until `ranks` have written a log line each. False after five seconds.
  bool WaitForLogs(int ranks) const;
  // The rank's process, by the pid it wrote into its witness line; 0 if it wrote none.
  pid_t PidOfRank(int rank) const;
  std::string witness() const { return root_ + "/witness"; }

 private:
  std::string root_;
  std::string script_;
};

}  // namespace yoke
