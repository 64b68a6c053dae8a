#include "server/service/shared.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "google/rpc/error_details.pb.h"
#include "server/jobs/ids.h"
#include "server/service/errors.h"

namespace yoke::service {
namespace {

absl::Status NoSuchJob(const std::string& id) {
  google::rpc::ResourceInfo resource;
  resource.set_resource_type("yoke.v1.Job");
  resource.set_resource_name(jobs::JobName(id));
  return WithReason(WithDetail(absl::NotFoundError(absl::StrCat("There is no job ", id,
                                                                ". `yoke jobs` lists them.")),
                               resource),
                    "JOB_NOT_FOUND");
}

}  // namespace

absl::StatusOr<Caller> Shared::Admit(const grpc::ServerContextBase& context,
                                     const std::string& rpc) {
  YOKE_ASSIGN_OR_RETURN(Caller caller, deps_.authorizer->Identify(context));
  YOKE_RETURN_IF_ERROR(deps_.authorizer->Authorize(rpc, caller, ""));
  return caller;
}

bool Shared::MaySee(const std::string& rpc, const Caller& caller, const std::string& owner) {
  return deps_.authorizer->Authorize(rpc, caller, owner).ok();
}

absl::StatusOr<jobs::JobRecord> Shared::FindJob(const std::string& rpc, const Caller& caller,
                                                const std::string& name) {
  const absl::StatusOr<std::string> id = jobs::ParseJobName(name);
  if (!id.ok()) return AsFieldError(id.status(), "name", "JOB_NAME_INVALID");
  absl::StatusOr<jobs::JobRecord> job = store().Get(*id);
  if (absl::IsNotFound(job.status())) return NoSuchJob(*id);
  if (!job.ok()) return AsFieldError(job.status(), "name", "JOB_NAME_AMBIGUOUS");
  const absl::Status allowed = deps_.authorizer->Authorize(rpc, caller, job->public_job.owner());
  if (absl::IsNotFound(allowed)) return NoSuchJob(*id);
  YOKE_RETURN_IF_ERROR(allowed);
  return job;
}

void Shared::BeginShutdown() {
  stopping_ = true;
  jobs_bell_.Ring();
  devices_bell_.Ring();
}

absl::Status Shared::MayGoOn(const grpc::ServerContextBase& context) const {
  if (stopping_) return ShuttingDown();
  return context.IsCancelled() ? absl::CancelledError("the client went away") : absl::OkStatus();
}

absl::Status Follower::status() const {
  if (shared_.stopping_) return ShuttingDown();
  if (number_ <= kFollowersMax) return absl::OkStatus();
  return Exhausted(
      absl::StrCat("the daemon serves ", kFollowersMax,
                   " streams and waits at once, and all are taken; end some, or try again later"),
      "TOO_MANY_STREAMS", absl::Seconds(5));
}

}  // namespace yoke::service
