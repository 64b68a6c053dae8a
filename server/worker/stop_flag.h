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
  // While true, a request ends the process as stopped, then and there: for waits that nothing can
  // interrupt and before which there is nothing to save. A request that came before counts too.
  void set_ends_at_once(bool ends_at_once) const;
};

}  // namespace yoke::worker
