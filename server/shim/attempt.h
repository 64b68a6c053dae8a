// One attempt from claim to exit record.
#pragma once

#include <string>

namespace yoke::shim {

// Exit codes of yoke-shim.
inline constexpr int kDone = 0;             // exit.json is written
inline constexpr int kUsage = 2;            // wrong arguments, or a spec that cannot be read
inline constexpr int kLockHeld = 3;         // another shim runs this attempt
inline constexpr int kAlreadyStarted = 4;   // a shim has started this attempt before
inline constexpr int kNotClaimed = 5;       // the claim could not be recorded; nothing was started
inline constexpr int kExitNotWritten = 6;   // the attempt ended, but exit.json could not be written

// Runs the attempt whose spec.json is at `spec_path`. Returns one of the codes above, the reason of a
// failure on stderr.
int RunAttempt(const std::string& spec_path);

}  // namespace yoke::shim
