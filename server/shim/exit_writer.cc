#include "server/shim/exit_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/os/clock.h"
#include "common/os/failpoint.h"
#include "common/os/file.h"

namespace yoke::shim {
namespace {

constexpr off_t kReserveBytes = 64 << 10;
constexpr useconds_t kRetryMicroseconds = 200'000;

}  // namespace

ExitWriter::ExitWriter(std::string attempt_dir)
    : path_(attempt_dir + "/exit.json"), reserve_(attempt_dir + "/reserve") {}

void ExitWriter::Reserve() const {
  const absl::StatusOr<os::UniqueFd> fd = os::Open(reserve_, O_WRONLY | O_CREAT);
  if (fd.ok() && posix_fallocate(fd->get(), 0, kReserveBytes) != 0) unlink(reserve_.c_str());
}

absl::Status ExitWriter::Write(const ipc::ExitRecord& record, double patience_seconds) {
  YOKE_FAILPOINT("shim.reserve.before");
  unlink(reserve_.c_str());
  const nlohmann::json json = ipc::ToJson(record);
  const int64_t deadline = os::BootMilliseconds() + static_cast<int64_t>(patience_seconds * 1000);
  for (;;) {
    YOKE_FAILPOINT("shim.exit.before");
    const absl::Status status = ipc::WriteJsonFile(path_, json);
    YOKE_FAILPOINT("shim.exit.after");
    if (!absl::IsResourceExhausted(status) || os::BootMilliseconds() >= deadline) return status;
    usleep(kRetryMicroseconds);
  }
}

}  // namespace yoke::shim
