// One phase of an attempt: a gang of processes, started together and stopped together. The prepare
// phase is a gang of one.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/ipc/attempt_files.h"
#include "common/os/process.h"
#include "server/shim/signals.h"
#include "server/shim/stop.h"

namespace yoke::shim {

struct Command {
  int rank = 0;  // -1: prepare
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string cwd;
  std::string cgroup;  // what it starts in; empty: the shim's
  std::string log;     // stdout and stderr are appended here
  int64_t user_processes_max = 0;  // no more processes of the user from then on; 0: no limit
};

inline constexpr int kNotStarted = 127;  // as a shell says it

struct Ended {
  int rank = 0;
  os::ExitStatus exit;  // kNotStarted where there was nothing to end
  bool started = false;
  bool killed = false;  // by us, after the grace
  bool out_of_memory = false;  // it ended because memory ran out
};

struct PhaseResult {
  std::vector<Ended> members;           // in the order of the commands
  std::optional<size_t> first_failure;  // index of the member that failed first, by itself
  std::string start_error;              // why that member could not be started; empty if it was
  std::string hang;                     // that member held up the others: how; empty if not
};

// Starts every command, in a process group of its own, and waits until all have ended. The first
// failure by itself, a hang, or a request to stop, sends SIGTERM to all that still run and SIGKILL
// after the grace; after a hang SIGCONT too, so that a stopped member can save. Returns with no member
// running. `meanwhile` is called once, when all have been started.
PhaseResult RunPhase(const ipc::AttemptSpec& spec, const std::vector<Command>& commands,
                     Signals& signals, Stop& stop, const std::function<void()>& meanwhile = {});

}  // namespace yoke::shim
