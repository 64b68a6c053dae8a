// An attempt's shim as the daemon deals with it: takes it over, asks it to stop, hears why it could
// not begin.
#pragma once

#include <string>

#include "server/launcher/live_attempt.h"

namespace yoke::launcher {

// Takes over the shim of another life of the daemon: none but the very process that wrote the start
// record. False while that record is being written, or if the process is another one.
bool Adopt(LiveAttempt& attempt, const Observation& seen);

// REQUIRES: attempt.stop, and a shim that is known.
void SendStop(LiveAttempt& attempt);

// Continues a shim that is stopped itself (SIGSTOP) once the grace of the stop it was asked for is
// over, and kills one that has not ended long after; its ranks die with it. Returns when to look
// again, as os::BootMilliseconds. REQUIRES: attempt.stop_sent.
int64_t PressOn(const LiveAttempt& attempt);

// Reaps the shim that this daemon started: how it ended and what it said. REQUIRES: it has ended.
std::string ReapProblem(const LiveAttempt& attempt);

}  // namespace yoke::launcher
