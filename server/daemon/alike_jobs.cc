#include "server/daemon/alike_jobs.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "server/jobs/array.h"
#include "server/jobs/state_machine.h"

namespace yoke::daemon {

bool AlikeJobs::Same(const v1::Job& a, const v1::Job& b) {
  const v1::Scheduling &x = a.scheduling(), &y = b.scheduling();
  return a.owner() == b.owner() && x.queue() == y.queue() && a.spec().device() == b.spec().device() && a.priority() == b.priority() &&
         x.time_limit().seconds() == y.time_limit().seconds() && x.time_limit().nanos() == y.time_limit().nanos() &&
         x.share_memory_bytes() == y.share_memory_bytes() &&
         std::equal(a.device_uuids().begin(), a.device_uuids().end(), b.device_uuids().begin(), b.device_uuids().end());
}

AlikeJobs::Kind AlikeJobs::KindOf(const v1::Job& job) {
  const v1::Scheduling& asked = job.scheduling();
  return {job.owner(),    asked.queue(),  job.spec().device(), absl::StrJoin(job.device_uuids(), ","),
          job.priority(), asked.time_limit().seconds(), asked.time_limit().nanos(), asked.share_memory_bytes()};
}

std::optional<size_t> AlikeJobs::LikeWhich(const v1::Job& job, size_t place) {
  if (job.scheduling().dependencies_size() > 0 || job.has_next_attempt_time() || jobs::IsArray(job) || jobs::IsTask(job)) return std::nullopt;
  if (last_ == nullptr || !Same(*last_->job, job)) last_ = &seen_[KindOf(job)];
  if (last_->count < most_) {
    ++last_->count;
    last_->job = &job;
    last_->place = place;
    return std::nullopt;
  }
  const bool told = job.reason() == v1::JobReason::WAITING_FOR_PRIORITY && job.message() == jobs::kWaitsItsTurn;
  return told ? std::optional(last_->place) : std::nullopt;
}

}  // namespace yoke::daemon
