#include "server/daemon/retry_wait.h"

#include <algorithm>
#include <utility>

#include "google/protobuf/util/time_util.h"

namespace yoke::daemon {
namespace {

constexpr absl::Duration kWaitMax = absl::Minutes(1);

absl::Time NextAttempt(const v1::Job& job) {
  return absl::FromUnixMillis(
      google::protobuf::util::TimeUtil::TimestampToMilliseconds(job.next_attempt_time()));
}

}  // namespace

void RetryWait::HoldBack(absl::Time now, int64_t boot_ms, std::vector<jobs::JobRecord>& open) {
  std::map<std::string, Due> before = std::exchange(due_, {});
  std::erase_if(open, [&](const jobs::JobRecord& job) {
    if (job.public_job.state() != v1::Job::QUEUED || !job.public_job.has_next_attempt_time())
      return false;
    const absl::Time time = NextAttempt(job.public_job);
    const auto known = before.find(job.id);
    const Due due = known != before.end() && known->second.time == time
                        ? known->second
                        : Due{time, boot_ms + absl::ToInt64Milliseconds(std::clamp(
                                                  time - now, absl::ZeroDuration(), kWaitMax))};
    due_[job.id] = due;
    return due.boot_ms > boot_ms;
  });
}

std::optional<absl::Duration> RetryWait::Left(int64_t boot_ms) const {
  std::optional<absl::Duration> left;
  for (const auto& [id, due] : due_) {
    if (due.boot_ms <= boot_ms) continue;
    const absl::Duration until = absl::Milliseconds(due.boot_ms - boot_ms);
    left = left ? std::min(*left, until) : until;
  }
  return left;
}

}  // namespace yoke::daemon
