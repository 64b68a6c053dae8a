// Looks at the members of a gang for the watchdog, and keeps what they were doing when it barks.
#pragma once

#include <sys/types.h>

#include <optional>
#include <vector>

#include "common/ipc/attempt_files.h"
#include "server/shim/watchdog.h"

namespace yoke::shim {

class HangWatch {
 public:
  // Of the ranks, whose slots are made here, or with `prepare` of the preparation, which has none.
  // It watches nothing where the specification switches it off or the slots cannot be made (the
  // reason goes to stderr).
  HangWatch(const ipc::AttemptSpec& spec, bool prepare);

  // Milliseconds until the next look makes sense.
  int64_t tick_ms() const { return watchdog_.tick_ms(); }

  // `pids`: of the members in their order, 0 for those that have ended. Looks at most once a tick.
  // When it finds a hang it has written attempt/hang/: slots.json, and for each rank K rankK.proc
  // (/proc status, wchan and stack of every thread, as far as they can be read) and rankK.log (its
  // last lines).
  std::optional<Hang> Look(const std::vector<pid_t>& pids);

 private:
  void WriteEvidence(const std::vector<Sight>& sights, const std::vector<pid_t>& pids,
                     const Hang& hang) const;

  const ipc::AttemptSpec& spec_;
  const bool prepare_;
  std::optional<ipc::ProgressFile> slots_;
  bool watches_ = false;
  Watchdog watchdog_;
  int64_t next_ms_ = 0;
};

}  // namespace yoke::shim
