#include "server/worker/stop_flag.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "common/ipc/attempt_files.h"

namespace yoke::worker {
namespace {

std::atomic<bool> asked{false}, at_once{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void Handle(int signal) {
  asked.store(true);
  if (at_once.load()) _exit(ipc::kWorkerStopped);
}

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

bool StopFlag::requested() const { return asked.load(); }

void StopFlag::set_ends_at_once(bool ends_at_once) const {
  at_once.store(ends_at_once);
  if (ends_at_once && asked.load()) _exit(ipc::kWorkerStopped);
}

}  // namespace yoke::worker
