#include "server/shim/exec_rank.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "common/os/failpoint.h"
#include "server/shim/oom.h"

namespace yoke::shim {

int ExecRank(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "yoke-shim: %s needs a pid and a program\n", kExecRankFlag);
    return kExecFailed;
  }
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
    std::fprintf(stderr, "yoke-shim: cannot ask for a death signal: %s\n", strerror(errno));
    return kExecFailed;
  }
  // The shim may have ended before the request above.
  if (getppid() != std::atoi(argv[2])) return kExecFailed;
  SetOomScore(kRankOomScore);
  YOKE_FAILPOINT("shim.exec.before");
  execv(argv[3], argv + 3);
  std::fprintf(stderr, "yoke-shim: cannot start %s: %s\n", argv[3], strerror(errno));
  return kExecFailed;
}

}  // namespace yoke::shim
