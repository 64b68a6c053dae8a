#include "server/service/stream_service.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/jobs/job_control.h"
#include "server/service/errors.h"
#include "server/service/follow.h"

namespace yoke::service {
namespace {

constexpr char kTailLogs[] = "yoke.v1.StreamService/TailLogs";
constexpr char kTailMetrics[] = "yoke.v1.StreamService/TailMetrics";
constexpr int kRankMax = 65535;
constexpr int kTypesMax = 32;

// What the two kinds of stream ask alike.
template <typename Request>
streams::SourceOptions OptionsFor(const std::string& job_id, const Request& request) {
  streams::SourceOptions options;
  options.job_id = job_id;
  options.follow = request.follow();
  options.resume_token = request.resume_token();
  return options;
}

std::function<std::string(int)> AttemptDirs(const Shared& shared, const std::string& job_id) {
  return [&shared, job_id](int attempt) { return shared.control().AttemptDir(job_id, attempt); };
}

absl::Status CheckLogsRequest(const v1::TailLogsRequest& request) {
  if (request.has_rank() && (request.rank() < -1 || request.rank() > kRankMax)) {
    return InvalidField(
        "rank",
        absl::StrCat("rank=", request.rank(),
                     " is out of range; it takes 0 and more, or -1 for the prepare phase"),
        "RANK_INVALID");
  }
  if (request.has_tail_lines() && request.tail_lines() < 0)
    return InvalidField("tail_lines", "tail_lines cannot be negative", "TAIL_LINES_INVALID");
  return absl::OkStatus();
}

}  // namespace

grpc::Status StreamService::TailLogs(grpc::ServerContext* context,
                                     const v1::TailLogsRequest* request,
                                     grpc::ServerWriter<v1::TailLogsResponse>* writer) {
  return ToGrpc(Logs(*context, *request, *writer));
}

absl::Status StreamService::Logs(const grpc::ServerContext& context,
                                 const v1::TailLogsRequest& request,
                                 grpc::ServerWriter<v1::TailLogsResponse>& writer) {
  YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(context, kTailLogs));
  YOKE_RETURN_IF_ERROR(CheckLogsRequest(request));
  const Follower follower(shared_);
  YOKE_RETURN_IF_ERROR(follower.status());
  YOKE_ASSIGN_OR_RETURN(const jobs::JobRecord job,
                        shared_.FindJob(kTailLogs, caller, request.name()));
  streams::SourceOptions options = OptionsFor(job.id, request);
  if (request.has_rank()) options.rank = request.rank();
  if (request.has_tail_lines()) options.tail_lines = request.tail_lines();
  const auto source = streams::OpenLogs(shared_.store(), AttemptDirs(shared_, job.id), options);
  if (!source.ok()) return AsFieldError(source.status(), "resume_token", "RESUME_TOKEN_INVALID");
  return Follow(shared_, context, **source, writer);
}

grpc::Status StreamService::TailMetrics(grpc::ServerContext* context,
                                        const v1::TailMetricsRequest* request,
                                        grpc::ServerWriter<v1::TailMetricsResponse>* writer) {
  return ToGrpc(Metrics(*context, *request, *writer));
}

absl::Status StreamService::Metrics(const grpc::ServerContext& context,
                                    const v1::TailMetricsRequest& request,
                                    grpc::ServerWriter<v1::TailMetricsResponse>& writer) {
  YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(context, kTailMetrics));
  if (request.types_size() > kTypesMax)
    return InvalidField("types", absl::StrCat("at most ", kTypesMax, " types"), "TYPES_INVALID");
  const Follower follower(shared_);
  YOKE_RETURN_IF_ERROR(follower.status());
  YOKE_ASSIGN_OR_RETURN(const jobs::JobRecord job,
                        shared_.FindJob(kTailMetrics, caller, request.name()));
  streams::SourceOptions options = OptionsFor(job.id, request);
  options.event_types.assign(request.types().begin(), request.types().end());
  const auto source = streams::OpenEvents(shared_.store(), AttemptDirs(shared_, job.id), options);
  if (!source.ok()) return AsFieldError(source.status(), "resume_token", "RESUME_TOKEN_INVALID");
  return Follow(shared_, context, **source, writer);
}

}  // namespace yoke::service
