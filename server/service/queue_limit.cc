#include "server/service/queue_limit.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "google/rpc/error_details.pb.h"
#include "server/jobs/open_jobs.h"
#include "server/service/errors.h"

namespace yoke::service {

absl::Status QueueLimit::Reserve(const std::string& owner,
                                 const std::vector<std::string>& request_ids) {
  MutexLock lock(mutex_);
  int64_t needed = static_cast<int64_t>(request_ids.size());
  if (at_most_ + needed > open_max_) {
    at_most_ = static_cast<int64_t>(store_.Open().size());
    if (at_most_ + needed > open_max_) {
      YOKE_ASSIGN_OR_RETURN(const int64_t known, store_.CountRequests(owner, request_ids));
      needed -= known;
    }
  }
  if (needed > 0 && at_most_ + needed > open_max_) {
    google::rpc::QuotaFailure quota;
    auto& violation = *quota.add_violations();
    violation.set_subject("jobs");
    violation.set_description(absl::StrCat(
        "the queue is full: ", at_most_, " of ", open_max_, " jobs are open",
        needed > 1 ? absl::StrCat(", and ", needed, " more were asked for") : "",
        ". Wait until some have ended, or cancel some"));
    return WithDetail(Exhausted(violation.description(), "QUEUE_FULL", absl::Seconds(30)), quota);
  }
  at_most_ += static_cast<int64_t>(request_ids.size());
  return absl::OkStatus();
}

void QueueLimit::GiveBack(size_t places) {
  MutexLock lock(mutex_);
  at_most_ -= static_cast<int64_t>(places);
}

}  // namespace yoke::service
