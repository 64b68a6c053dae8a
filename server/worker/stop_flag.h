// SIGTERM and SIGINT as the engine's StopSignal: the rank finishes its iteration, saves and ends.
// Asking twice does nothing more; what comes after the grace is SIGKILL.
#pragma once

#include "server/engine/observer.h"

namespace yoke::worker {

// The handlers are the process': make one, before any thread is started. Also ignores SIGPIPE.
class StopFlag : public engine::StopSignal {
 public:
  StopFlag();
  bool requested() const override;
};

}  // namespace yoke::worker
