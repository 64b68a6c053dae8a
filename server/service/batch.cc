// The part of JobService that accepts many jobs at once.
#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/os/failpoint.h"
#include "google/rpc/error_details.pb.h"
#include "server/jobs/ids.h"
#include "server/service/errors.h"
#include "server/service/job_service.h"
#include "server/service/submission.h"

namespace yoke::service {
namespace {

constexpr char kBatchCreateJobs[] = "yoke.v1.JobService/BatchCreateJobs";
constexpr int kRequestsMax = 1000;
// gRPC's own limit on what a client receives is 4 MiB.
constexpr size_t kAnswerBytesMax = size_t{3} << 20;

std::string Place(size_t index) { return absl::StrCat("requests[", index, "]"); }

// The violations that a refusal of one request names, as those of the batch.
std::vector<jobs::Violation> Violations(const absl::Status& refused, size_t index) {
  google::rpc::BadRequest bad;
  const auto payload = refused.GetPayload(
      absl::StrCat("type.googleapis.com/", google::rpc::BadRequest::descriptor()->full_name()));
  std::vector<jobs::Violation> violations;
  if (payload.has_value() && bad.ParseFromString(std::string(*payload))) {
    for (const auto& violation : bad.field_violations()) {
      violations.push_back({absl::StrCat(Place(index), ".", violation.field()),
                            absl::StrCat(Place(index), ": ", violation.description())});
    }
  }
  if (violations.empty())
    violations.push_back({Place(index), absl::StrCat(Place(index), ": ", refused.message())});
  return violations;
}

// The same error, naming the request that it is about.
absl::Status At(size_t index, const absl::Status& refused) {
  absl::Status status(refused.code(), absl::StrCat(Place(index), ": ", refused.message()));
  return WithReason(std::move(status), ReasonOf(refused));
}

// An error of the store about one of the jobs, or about all of them.
absl::Status AsBatchError(const absl::Status& status) {
  const auto payload = status.GetPayload(jobs::kIndexPayload);
  size_t index = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &index))
    return AsSubmitError(status, "requests");
  const absl::Status refused = AsSubmitError(status, "request_id");
  if (!absl::IsInvalidArgument(refused)) return refused;
  return InvalidFields(Violations(refused, index), ReasonOf(refused));
}

}  // namespace

grpc::Status JobService::BatchCreateJobs(grpc::ServerContext* context,
                                         const v1::BatchCreateJobsRequest* request,
                                         v1::BatchCreateJobsResponse* response) {
  return ToGrpc(BatchCreate(*context, *request, *response));
}

absl::StatusOr<std::vector<jobs::JobRecord>> JobService::PrepareAll(
    const Caller& caller, const v1::BatchCreateJobsRequest& request) {
  std::vector<jobs::JobRecord> records;
  std::vector<jobs::Violation> violations;
  std::string reason;
  const jobs::MeasuredMemory measured = Measured();
  for (int i = 0; i < request.requests_size(); ++i) {
    const size_t index = static_cast<size_t>(i);
    if (request.requests(i).validate_only()) {
      return InvalidField(
          absl::StrCat(Place(index), ".validate_only"),
          absl::StrCat(Place(index), ": validate_only is for CreateJob; a batch stores its jobs"),
          "BATCH_INVALID");
    }
    std::optional<jobs::JobRecord> parent;
    absl::StatusOr<jobs::JobRecord> record =
        Prepare(kBatchCreateJobs, caller, request.requests(i), measured, parent);
    if (record.ok()) {
      records.push_back(*std::move(record));
      continue;
    }
    if (!absl::IsInvalidArgument(record.status())) return At(index, record.status());
    if (violations.empty()) reason = ReasonOf(record.status());
    for (jobs::Violation& violation : Violations(record.status(), index))
      violations.push_back(std::move(violation));
  }
  if (!violations.empty()) return InvalidFields(violations, reason);
  return records;
}

absl::Status JobService::BatchCreate(const grpc::ServerContext& context,
                                     const v1::BatchCreateJobsRequest& request,
                                     v1::BatchCreateJobsResponse& response) {
  YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(context, kBatchCreateJobs));
  if (request.requests_size() < 1 || request.requests_size() > kRequestsMax) {
    return InvalidField("requests",
                        absl::StrCat("requests holds ", request.requests_size(),
                                     " jobs; a batch takes 1 to ", kRequestsMax),
                        "BATCH_INVALID");
  }
  YOKE_ASSIGN_OR_RETURN(std::vector<jobs::JobRecord> records, PrepareAll(caller, request));
  std::vector<std::string> request_ids, ids;
  size_t bytes = 0;
  for (const jobs::JobRecord& record : records) {
    request_ids.push_back(record.request_id);
    ids.push_back(record.id);
    bytes += record.public_job.ByteSizeLong();
  }
  if (bytes > kAnswerBytesMax) {
    return InvalidField("requests",
                        absl::StrCat("requests make an answer of ", bytes, " bytes, more than ",
                                     kAnswerBytesMax, "; send fewer at once"),
                        "BATCH_INVALID");
  }
  jobs::BeginAlike(ids);
  for (size_t i = 0; i < ids.size(); ++i) records[i].id = ids[i];
  YOKE_RETURN_IF_ERROR(queue_.Reserve(caller.user, request_ids));
  YOKE_FAILPOINT("submit.before");
  absl::StatusOr<std::vector<jobs::JobRecord>> created =
      shared_.store().CreateAll(std::move(records));
  YOKE_FAILPOINT("submit.after");
  if (!created.ok()) {
    queue_.GiveBack(ids.size());
    return AsBatchError(created.status());
  }
  size_t known = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    if ((*created)[i].id != ids[i]) ++known;
    *response.add_jobs() = std::move((*created)[i].public_job);
  }
  queue_.GiveBack(known);
  queue_.Use(ids.size() - known);
  return absl::OkStatus();
}

}  // namespace yoke::service
