#include "server/shim/exec_rank.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/os/cgroup.h"
#include "common/os/failpoint.h"
#include "common/os/process.h"
#include "server/shim/oom.h"

namespace yoke::shim {

namespace {

// As well as it can be: what escapes is still found by its run id.
void Contain() {
  if (const char* cgroup = std::getenv(kCgroupVariable)) {
    const absl::Status joined = os::JoinCgroup(cgroup);
    if (!joined.ok()) std::fprintf(stderr, "yoke-shim: %s\n", std::string(joined.message()).c_str());
  }
  if (const char* processes = std::getenv(kProcessesVariable)) {
    const rlim_t most = static_cast<rlim_t>(std::atoll(processes));
    rlimit limit = {};
    if (getrlimit(RLIMIT_NPROC, &limit) == 0 && most < limit.rlim_max) {
      limit = {most, most};
      setrlimit(RLIMIT_NPROC, &limit);
    }
  }
  unsetenv(kCgroupVariable);
  unsetenv(kProcessesVariable);
}

}  // namespace

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
  os::SetOomScore(0, kRankOomScore);
  Contain();
  YOKE_FAILPOINT("shim.exec.before");
  execv(argv[3], argv + 3);
  std::fprintf(stderr, "yoke-shim: cannot start %s: %s\n", argv[3], strerror(errno));
  return kExecFailed;
}

}  // namespace yoke::shim
