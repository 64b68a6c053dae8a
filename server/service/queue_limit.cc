#include "server/service/queue_limit.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "google/rpc/error_details.pb.h"
#include "server/service/errors.h"

namespace yoke::service {

absl::Status QueueLimit::Reserve(const std::string& owner, const std::string& request_id) {
  MutexLock lock(mutex_);
  if (at_most_ >= open_max_) {
    YOKE_ASSIGN_OR_RETURN(const std::vector<jobs::JobRecord> open, store_.ListOpen());
    at_most_ = static_cast<int64_t>(open.size());
    for (const jobs::JobRecord& job : open) {
      if (!request_id.empty() && job.request_id == request_id && job.public_job.owner() == owner) {
        ++at_most_;
        return absl::OkStatus();
      }
    }
  }
  if (at_most_ >= open_max_) {
    google::rpc::QuotaFailure quota;
    auto& violation = *quota.add_violations();
    violation.set_subject("jobs");
    violation.set_description(
        absl::StrCat("the queue is full: ", open_max_,
                     " jobs are open. Wait until some have ended, or cancel some"));
    return WithDetail(Exhausted(violation.description(), "QUEUE_FULL", absl::Seconds(30)), quota);
  }
  ++at_most_;
  return absl::OkStatus();
}

void QueueLimit::GiveBack() {
  MutexLock lock(mutex_);
  --at_most_;
}

}  // namespace yoke::service
