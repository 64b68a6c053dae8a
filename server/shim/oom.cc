#include "server/shim/oom.h"

#include <fcntl.h>

#include <string>

#include "common/os/file.h"

namespace yoke::shim {

void SetOomScore(int score) {
  constexpr char kPath[] = "/proc/self/oom_score_adj";
  const absl::StatusOr<os::UniqueFd> fd = os::Open(kPath, O_WRONLY);
  if (fd.ok()) os::WriteAll(fd->get(), std::to_string(score), kPath).IgnoreError();
}

}  // namespace yoke::shim
