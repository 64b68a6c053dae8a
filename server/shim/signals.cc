#include "server/shim/signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/os/file.h"

namespace yoke::shim {

absl::StatusOr<Signals> Signals::Open() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&set, signal);
  if (sigprocmask(SIG_SETMASK, &set, nullptr) != 0) {
    return os::ErrnoStatus(errno, "cannot block signals");
  }
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  // An inherited SIG_IGN would let children vanish unreaped.
  signal(SIGCHLD, SIG_DFL);
  os::UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return os::ErrnoStatus(errno, "cannot open a signalfd");
  return Signals(std::move(fd));
}

bool Signals::Wait(int timeout_ms) {
  pollfd entry = {fd_.get(), POLLIN, 0};
  poll(&entry, 1, timeout_ms);
  bool stop = false;
  signalfd_siginfo signal;
  while (read(fd_.get(), &signal, sizeof(signal)) == sizeof(signal)) {
    stop |= signal.ssi_signo == SIGTERM || signal.ssi_signo == SIGINT;
  }
  return stop;
}

}  // namespace yoke::shim
