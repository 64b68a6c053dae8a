#include "server/worker/stop_flag.h"

#include <signal.h>

#include <atomic>

namespace yoke::worker {
namespace {

std::atomic<bool> asked{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void Handle(int signal) { asked.store(true, std::memory_order_relaxed); }

}  // namespace

StopFlag::StopFlag() {
  struct sigaction action = {};
  action.sa_handler = Handle;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
}

bool StopFlag::requested() const { return asked.load(std::memory_order_relaxed); }

}  // namespace yoke::worker
