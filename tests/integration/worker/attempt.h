// An attempt without daemon and shim: writes spec.json, starts yoke-worker as the shim would,
// collects what it leaves.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/ipc/attempt_files.h"
#include "common/ipc/events.h"
#include "common/os/process.h"
#include "nlohmann/json.hpp"
#include "tests/unit/worker/proto_text.h"

namespace yoke::worker {

class Attempt {
 public:
  // Folders under `folder`: attempt/, run/, state/cache/. One rank for each device.
  Attempt(const std::string& folder, const std::vector<std::string>& devices);
  ~Attempt();  // kills what still runs

  ipc::AttemptSpec spec;

  // The resolved message of a task, all defaults, with `changes` over it.
  static nlohmann::json Resolved(const std::string& message, const nlohmann::json& changes);
  void SetTask(const std::string& task, const nlohmann::json& message) {
    spec.spec[task] = message;
  }

  // The first `count` ranks; -1: all.
  void StartRanks(int count = -1);
  void Signal(int rank, int signal);
  // Exit codes by rank, or minus the signal. Fails the test and kills after `seconds`.
  std::vector<int> Wait(int seconds = 100);
  std::vector<int> Run() {
    StartRanks();
    return Wait();
  }

  struct Answer {
    int exit_code = 0;
    nlohmann::json json;
    std::string talk;  // stderr
  };
  Answer Prepare();

  std::string Log(int rank) const;
  std::vector<ipc::ParsedEvent> Events(int rank, const std::string& type = "") const;
  nlohmann::json Result() const;  // rank 0's; null if there is none
  // Waits until rank 0 has written an event of `type`.
  bool Await(const std::string& type, int seconds = 60) const;

 private:
  pid_t Start(int rank, const std::vector<std::string>& flags, const std::string& out,
              const std::string& err) const;
  void Save() const;

  std::vector<pid_t> pids_;
};

}  // namespace yoke::worker
