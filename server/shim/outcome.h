// Why an attempt ended, in a word and a sentence: pure, from what the phases and the request to stop say.
#pragma once

#include <optional>

#include "common/ipc/attempt_files.h"
#include "server/shim/phase.h"
#include "server/shim/stop.h"
#include "server/shim/strays.h"

namespace yoke::shim {

struct History {
  std::optional<PhaseResult> prepare;  // as far as it came
  std::optional<PhaseResult> ranks;
  StraySweep strays;
};

// Fills everything but the times and last_lines. A rank that failed by itself before any request makes
// the attempt failed; ranks that all ended well make it succeeded, even when a request came late; else
// the request names the outcome.
ipc::ExitRecord Judge(const ipc::AttemptSpec& spec, const Stop& stop, const History& history);

// "killed by signal 9 (SIGKILL)", "ended with exit code 10 (bad input)".
std::string Describe(const os::ExitStatus& exit);

}  // namespace yoke::shim
