#include "server/service/stream_service.h"

#include <algorithm>

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
        absl::StrCat(
            "rank=", request.rank(),
            " is out of range; it takes 0 and more, or -1 for the prepare phase of several ranks"),
        "RANK_INVALID");
  }
  if (request.has_tail_lines() && request.tail_lines() < 0)
    return InvalidField("tail_lines", "tail_lines cannot be negative", "TAIL_LINES_INVALID");
  if (request.has_until() && request.follow()) {
    return InvalidField("until",
                        "until cannot be combined with follow: what is still to come is later",
                        "UNTIL_INVALID");
  }
  if (!v1::TailLogsRequest::Level_IsValid(request.min_level()))
    return InvalidField("min_level", "min_level takes INFO, WARNING or ERROR", "LEVEL_INVALID");
  return absl::OkStatus();
}

// A rank that no attempt had; one that has not begun may have any.
absl::Status CheckRank(const v1::Job& job, int rank) {
  int ranks = 0;
  for (const v1::Attempt& attempt : job.attempts()) ranks = std::max(ranks, attempt.world_size());
  if (ranks == 0 || rank < ranks) return absl::OkStatus();
  return InvalidField(
      "rank",
      absl::StrCat("rank=", rank, ": ", job.name(), " has ",
                   ranks == 1 ? "rank 0 only" : absl::StrCat("ranks 0 to ", ranks - 1)),
      "RANK_INVALID");
}

streams::LogLevel ToLevel(v1::TailLogsRequest::Level level) {
  if (level == v1::TailLogsRequest::ERROR) return streams::LogLevel::kError;
  return level == v1::TailLogsRequest::WARNING ? streams::LogLevel::kWarning
                                               : streams::LogLevel::kInfo;
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

absl::StatusOr<streams::SourceOptions> LogsOptions(const std::string& job_id,
                                                   const v1::TailLogsRequest& request) {
  YOKE_RETURN_IF_ERROR(CheckLogsRequest(request));
  streams::SourceOptions options = OptionsFor(job_id, request);
  if (request.has_rank()) options.rank = request.rank();
  if (request.has_tail_lines()) options.tail_lines = request.tail_lines();
  options.choice = {ToLevel(request.min_level()), request.pattern()};
  options.lines = request.lines() || !options.choice.all();
  if (request.has_since()) options.since = ToTime(request.since());
  if (request.has_until()) options.until = ToTime(request.until());
  if (const auto filter = streams::LineFilter::Make(options.choice); !filter.ok()) {
    return AsFieldError(filter.status(), "pattern", "PATTERN_INVALID");
  }
  return options;
}

}  // namespace

grpc::ServerWriteReactor<v1::TailLogsResponse>* StreamService::TailLogs(
    grpc::CallbackServerContext* context, const v1::TailLogsRequest* asked) {
  using Logs = Following<v1::TailLogsResponse>;
  return Logs::Begin(
      shared_, pump_, *context,
      [this, request = *asked](
          const grpc::ServerContextBase& caller_context) -> absl::StatusOr<Logs::Source> {
        YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(caller_context, kTailLogs));
        YOKE_ASSIGN_OR_RETURN(const jobs::JobRecord job,
                              shared_.FindJob(kTailLogs, caller, request.name()));
        YOKE_ASSIGN_OR_RETURN(const streams::SourceOptions options, LogsOptions(job.id, request));
        if (options.rank) YOKE_RETURN_IF_ERROR(CheckRank(job.public_job, *options.rank));
        auto source = streams::OpenLogs(shared_.store(), AttemptDirs(shared_, job.id), options);
        if (!source.ok())
          return AsFieldError(source.status(), "resume_token", "RESUME_TOKEN_INVALID");
        return source;
      });
}

grpc::ServerWriteReactor<v1::TailMetricsResponse>* StreamService::TailMetrics(
    grpc::CallbackServerContext* context, const v1::TailMetricsRequest* asked) {
  using Metrics = Following<v1::TailMetricsResponse>;
  return Metrics::Begin(
      shared_, pump_, *context,
      [this, request = *asked](
          const grpc::ServerContextBase& caller_context) -> absl::StatusOr<Metrics::Source> {
        YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(caller_context, kTailMetrics));
        if (request.types_size() > kTypesMax)
          return InvalidField("types", absl::StrCat("at most ", kTypesMax, " types"),
                              "TYPES_INVALID");
        YOKE_ASSIGN_OR_RETURN(const jobs::JobRecord job,
                              shared_.FindJob(kTailMetrics, caller, request.name()));
        streams::SourceOptions options = OptionsFor(job.id, request);
        options.event_types.assign(request.types().begin(), request.types().end());
        auto source = streams::OpenEvents(shared_.store(), AttemptDirs(shared_, job.id), options);
        if (!source.ok())
          return AsFieldError(source.status(), "resume_token", "RESUME_TOKEN_INVALID");
        return source;
      });
}

}  // namespace yoke::service
