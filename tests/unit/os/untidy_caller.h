#pragma once

#include <signal.h>
#include <unistd.h>

namespace yoke::os {

// While it lives, this process is as untidy as one that starts others may be: SIGTERM is blocked, SIGPIPE ignored, and a
// descriptor is open that an exec would keep.
class UntidyCaller {
 public:
  UntidyCaller() {
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &mask_);
  }
  ~UntidyCaller() {
    close(leaked_);
    signal(SIGPIPE, on_pipe_);
    sigprocmask(SIG_SETMASK, &mask_, nullptr);
  }
  UntidyCaller(const UntidyCaller&) = delete;
  UntidyCaller& operator=(const UntidyCaller&) = delete;

 private:
  sigset_t mask_;
  void (*const on_pipe_)(int) = signal(SIGPIPE, SIG_IGN);
  const int leaked_ = dup(0);
};

}  // namespace yoke::os
