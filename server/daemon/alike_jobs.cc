#include "server/daemon/alike_jobs.h"

#include <algorithm>
#include <string_view>
#include <tuple>

#include "server/jobs/array.h"
#include "server/jobs/state_machine.h"

namespace yoke::daemon {
namespace {

// What a plan depends on, but for the devices that are bound.
auto KindOf(const v1::Job& job) {
  const v1::Scheduling& asked = job.scheduling();
  return std::make_tuple(job.priority(), asked.time_limit().seconds(), asked.time_limit().nanos(), asked.share_memory_bytes(),
                         std::string_view(job.spec().device()), std::string_view(job.owner()), std::string_view(asked.queue()));
}

bool IsAlike(const v1::Job& a, const v1::Job& b) {
  return KindOf(a) == KindOf(b) && std::equal(a.device_uuids().begin(), a.device_uuids().end(),
                                              b.device_uuids().begin(), b.device_uuids().end());
}

}  // namespace

bool AlikeJobs::ByKind::operator()(const v1::Job* a, const v1::Job* b) const {
  const auto kind = KindOf(*a), other = KindOf(*b);
  if (kind != other) return kind < other;
  return std::lexicographical_compare(a->device_uuids().begin(), a->device_uuids().end(), b->device_uuids().begin(), b->device_uuids().end());
}

std::optional<size_t> AlikeJobs::LikeWhich(const v1::Job& job, size_t place) {
  if (job.scheduling().dependencies_size() > 0 || job.has_next_attempt_time() || jobs::IsArray(job) || jobs::IsTask(job)) return std::nullopt;
  // Those submitted together are alike: most often it is the kind of the one before.
  if (last_ == nullptr || !IsAlike(*last_->first, job)) last_ = &*seen_.try_emplace(&job).first;
  Seen& seen = last_->second;
  if (seen.count < most_) {
    ++seen.count;
    seen.place = place;
    return std::nullopt;
  }
  const bool told = job.reason() == v1::JobReason::WAITING_FOR_PRIORITY && job.message() == jobs::kWaitsItsTurn;
  return told ? std::optional(seen.place) : std::nullopt;
}

}  // namespace yoke::daemon
