#include "server/service/job_service.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/ipc/attempt_files.h"
#include "common/os/failpoint.h"
#include "google/protobuf/unknown_field_set.h"
#include "google/rpc/error_details.pb.h"
#include "server/jobs/state_machine.h"
#include "server/service/durations.h"
#include "server/service/errors.h"
#include "server/service/job_filter.h"
#include "server/service/request_fields.h"
#include "server/service/scheduling.h"
#include "server/service/submission.h"
#include "server/service/watch_token.h"

namespace yoke::service {
namespace {

constexpr char kCreateJob[] = "yoke.v1.JobService/CreateJob";
constexpr char kGetJob[] = "yoke.v1.JobService/GetJob";
constexpr char kListJobs[] = "yoke.v1.JobService/ListJobs";
constexpr char kCancelJob[] = "yoke.v1.JobService/CancelJob";
constexpr char kWaitJob[] = "yoke.v1.JobService/WaitJob";
constexpr char kWatchJobs[] = "yoke.v1.JobService/WatchJobs";

// gRPC's own limit on what a client receives is 4 MiB.
constexpr size_t kPageBytesMax = size_t{3} << 20;
constexpr size_t kCommentMax = 1000;
constexpr int kEventsAtOnce = 100;

void AddNew(const std::vector<std::string>& lines,
            google::protobuf::RepeatedPtrField<std::string>& to) {
  for (const std::string& line : lines) {
    if (std::find(to.begin(), to.end(), line) == to.end()) *to.Add() = line;
  }
}

}  // namespace

grpc::Status JobService::CreateJob(grpc::ServerContext* context,
                                   const v1::CreateJobRequest* request, v1::Job* job) {
  return ToGrpc(Create(*context, *request, *job));
}

absl::StatusOr<jobs::JobRecord> JobService::Prepare(const char* rpc, const Caller& caller,
                                                    const v1::CreateJobRequest& request,
                                                    const jobs::MeasuredMemory& measured,
                                                    std::optional<jobs::JobRecord>& parent) {
  YOKE_ASSIGN_OR_RETURN(std::optional<std::string> resumed, ResumedJob(request.spec()));
  // A run folder of our own means its job, as long as that is known.
  if (const std::string at =
          resumed ? "" : shared_.control().JobAt(request.spec().train().resume());
      !at.empty() && shared_.store().Get(at).ok()) {
    resumed = at;
  }
  if (resumed.has_value()) {
    YOKE_ASSIGN_OR_RETURN(parent, shared_.FindJob(rpc, caller, *resumed));
  }
  YOKE_ASSIGN_OR_RETURN(jobs::JobRecord record,
                        MakeJobRecord(request, parent.has_value() ? &*parent : nullptr,
                                      shared_.inventory(), measured));
  record.public_job.set_owner(caller.user);
  YOKE_RETURN_IF_ERROR(ApplyScheduling(
      request, shared_.control().QueueNames(),
      [&](const std::string& name) { return shared_.FindJob(rpc, caller, name); }, record));
  if (!request.validate_only() && record.public_job.state() != v1::Job::HELD) {
    record.public_job.set_reason(v1::JobReason::WAITING_FOR_PRIORITY);
    record.public_job.set_message(jobs::kWaitsItsTurn);
  }
  return record;
}

jobs::MeasuredMemory JobService::Measured() const {
  return MeasuredIn(ipc::CacheDir(shared_.facts().state_dir));
}

absl::Status JobService::Create(const grpc::ServerContext& context,
                                const v1::CreateJobRequest& request, v1::Job& job) {
  YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(context, kCreateJob));
  std::optional<jobs::JobRecord> parent;
  YOKE_ASSIGN_OR_RETURN(jobs::JobRecord record,
                        Prepare(kCreateJob, caller, request, Measured(), parent));
  if (request.validate_only())
    return Check(std::move(record), parent.has_value() ? parent->public_job.run_dir() : "", job);

  YOKE_RETURN_IF_ERROR(queue_.Reserve(caller.user, {record.request_id}));
  const std::string id = record.id;
  YOKE_FAILPOINT("submit.before");
  absl::StatusOr<jobs::JobRecord> created = shared_.store().Create(std::move(record));
  YOKE_FAILPOINT("submit.after");
  created.ok() && created->id == id ? queue_.Use(1) : queue_.GiveBack(1);
  if (!created.ok()) return AsSubmitError(created.status(), "request_id");
  job = std::move(created->public_job);
  return absl::OkStatus();
}

absl::Status JobService::Check(jobs::JobRecord record, const std::string& resume_from,
                               v1::Job& job) {
  v1::JobSpec spec = record.public_job.spec();
  if (!resume_from.empty()) spec.mutable_train()->set_resume(resume_from);
  const absl::StatusOr<jobs::PrepareAnswer> answer =
      shared_.control().Prepare(spec, record.user_set);
  if (!answer.ok()) return WithReason(answer.status(), "CHECK_FAILED");
  job = std::move(record.public_job);
  job.clear_state();
  AddNew(answer->banner, *job.mutable_banner());
  AddNew(answer->warnings, *job.mutable_warnings());
  return absl::OkStatus();
}

grpc::Status JobService::GetJob(grpc::ServerContext* context, const v1::GetJobRequest* request,
                                v1::Job* job) {
  const absl::StatusOr<Caller> caller = shared_.Admit(*context, kGetJob);
  if (!caller.ok()) return ToGrpc(caller.status());
  absl::StatusOr<jobs::JobRecord> found = shared_.FindJob(kGetJob, *caller, request->name());
  if (!found.ok()) return ToGrpc(found.status());
  *job = std::move(found->public_job);
  return grpc::Status::OK;
}

grpc::Status JobService::ListJobs(grpc::ServerContext* context, const v1::ListJobsRequest* request,
                                  v1::ListJobsResponse* response) {
  return ToGrpc(List(*context, *request, *response));
}

absl::Status JobService::List(const grpc::ServerContext& context,
                              const v1::ListJobsRequest& request, v1::ListJobsResponse& response) {
  YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(context, kListJobs));
  YOKE_ASSIGN_OR_RETURN(const JobQuery query, JobQuery::Parse(request.filter()));
  YOKE_ASSIGN_OR_RETURN(int size, PageSizeOf(request.page_size()));
  jobs::JobFilter filter = query.store_filter();
  filter.array = "";
  if (!request.array().empty()) {
    YOKE_ASSIGN_OR_RETURN(const jobs::JobRecord array,
                          shared_.FindJob(kListJobs, caller, request.array()));
    filter.array = array.id;
  }
  for (;; size = std::max(1, size / 2)) {
    absl::StatusOr<jobs::StoredPage> page =
        shared_.store().ListStored(filter, size, request.page_token());
    if (!page.ok()) return AsFieldError(page.status(), "page_token", "PAGE_TOKEN_INVALID");
    response.Clear();
    response.set_resume_token(EncodeWatchToken(page->event_sequence));
    if (query.matches_nothing()) return absl::OkStatus();
    response.set_next_page_token(page->next_page_token);
    // Encoded, an unknown field is what a known one is: decoding a job to encode it again would be
    // most of the work.
    google::protobuf::UnknownFieldSet& encoded =
        *response.GetReflection()->MutableUnknownFields(&response);
    for (jobs::StoredJob& job : page->jobs) {
      if (query.Matches(job) && shared_.MaySee(kListJobs, caller, job.owner))
        *encoded.AddLengthDelimited(v1::ListJobsResponse::kJobsFieldNumber) =
            std::move(job.message);
    }
    // Jobs with long results make a shorter page.
    if (size == 1 || response.ByteSizeLong() <= kPageBytesMax) return absl::OkStatus();
  }
}

grpc::Status JobService::CancelJob(grpc::ServerContext* context,
                                   const v1::CancelJobRequest* request, v1::Job* job) {
  return ToGrpc(Cancel(*context, *request, *job));
}

absl::Status JobService::Cancel(const grpc::ServerContext& context,
                                const v1::CancelJobRequest& request, v1::Job& job) {
  YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(context, kCancelJob));
  YOKE_ASSIGN_OR_RETURN(const std::optional<absl::Duration> grace, GraceOf(request));
  const std::string& comment = request.comment();
  if (comment.size() > kCommentMax || HasControlCharacters(comment)) {
    return InvalidField("comment",
                        absl::StrCat("the comment must have at most ", kCommentMax,
                                     " bytes and no control characters"),
                        "COMMENT_INVALID");
  }
  YOKE_ASSIGN_OR_RETURN(const jobs::JobRecord found,
                        shared_.FindJob(kCancelJob, caller, request.name()));
  const absl::StatusOr<jobs::JobRecord> cancelled =
      shared_.control().Cancel(found.id, grace, comment);
  if (absl::IsFailedPrecondition(cancelled.status())) {
    google::rpc::PreconditionFailure failure;
    auto& violation = *failure.add_violations();
    violation.set_type("STATE");
    violation.set_subject(found.public_job.name());
    violation.set_description(std::string(cancelled.status().message()));
    return WithReason(WithDetail(cancelled.status(), failure), "JOB_ENDED");
  }
  if (!cancelled.ok()) return cancelled.status();
  job = cancelled->public_job;
  return absl::OkStatus();
}

grpc::Status JobService::WaitJob(grpc::ServerContext* context, const v1::WaitJobRequest* request,
                                 v1::Job* job) {
  return ToGrpc(Wait(*context, *request, *job));
}

absl::Status JobService::Wait(const grpc::ServerContext& context, const v1::WaitJobRequest& request,
                              v1::Job& job) {
  YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(context, kWaitJob));
  const absl::Duration timeout =
      request.has_timeout() ? FromProto(request.timeout()) : absl::InfiniteDuration();
  if (timeout < absl::ZeroDuration())
    return InvalidField("timeout", "timeout cannot be negative", "TIMEOUT_INVALID");
  const absl::Time deadline = absl::Now() + timeout;
  const Follower follower(shared_);
  YOKE_RETURN_IF_ERROR(follower.status());
  YOKE_ASSIGN_OR_RETURN(jobs::JobRecord record, shared_.FindJob(kWaitJob, caller, request.name()));
  for (int64_t read_at = -1;;) {
    const int64_t heard = shared_.jobs_bell().rings();
    const int64_t sequence = shared_.store().last_event_sequence();
    if (sequence != read_at) {
      YOKE_ASSIGN_OR_RETURN(record, shared_.store().Get(record.id));
      read_at = sequence;
    }
    if (jobs::IsTerminal(record.public_job.state())) break;
    YOKE_RETURN_IF_ERROR(shared_.MayGoOn(context));
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return WithReason(absl::DeadlineExceededError(absl::StrCat(
                            "job ", record.id, " has not ended in ", absl::FormatDuration(timeout),
                            "; it is ", v1::Job::State_Name(record.public_job.state()))),
                        "WAIT_TIMEOUT");
    }
    shared_.jobs_bell().Wait(heard, std::min(left, kLookInterval));
  }
  job = std::move(record.public_job);
  return absl::OkStatus();
}

grpc::Status JobService::WatchJobs(grpc::ServerContext* context,
                                   const v1::WatchJobsRequest* request,
                                   grpc::ServerWriter<v1::WatchJobsResponse>* writer) {
  return ToGrpc(Watch(*context, *request, *writer));
}

absl::Status JobService::Watch(const grpc::ServerContext& context,
                               const v1::WatchJobsRequest& request,
                               grpc::ServerWriter<v1::WatchJobsResponse>& writer) {
  YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(context, kWatchJobs));
  YOKE_ASSIGN_OR_RETURN(const JobQuery query, JobQuery::Parse(request.filter()));
  const Follower follower(shared_);
  YOKE_RETURN_IF_ERROR(follower.status());
  int64_t sequence = shared_.store().last_event_sequence();
  if (!request.resume_token().empty()) {
    YOKE_ASSIGN_OR_RETURN(sequence, DecodeWatchToken(request.resume_token()));
  }
  // The first bookmark at once: who is cut off before any change then has a place to continue from.
  absl::Time bookmark_due = absl::Now();
  while (true) {
    YOKE_RETURN_IF_ERROR(shared_.MayGoOn(context));
    const int64_t heard = shared_.jobs_bell().rings();
    const absl::StatusOr<std::vector<jobs::JobEvent>> events =
        shared_.store().Events(sequence, kEventsAtOnce, absl::ZeroDuration());
    if (!events.ok()) return WithReason(events.status(), "RESUME_TOKEN_EXPIRED");
    for (const jobs::JobEvent& event : *events) {
      sequence = event.sequence;
      if (!query.Matches(event.job) || !shared_.MaySee(kWatchJobs, caller, event.job.owner()))
        continue;
      v1::WatchJobsResponse frame;
      *frame.mutable_job() = event.job;
      frame.set_resume_token(EncodeWatchToken(sequence));
      if (!writer.Write(frame)) return absl::CancelledError("the client went away");
      bookmark_due = absl::Now() + kBookmarkInterval;
    }
    if (absl::Now() >= bookmark_due) {
      v1::WatchJobsResponse bookmark;
      bookmark.set_resume_token(EncodeWatchToken(sequence));
      if (!writer.Write(bookmark)) return absl::CancelledError("the client went away");
      bookmark_due = absl::Now() + kBookmarkInterval;
    }
    if (events->empty())
      shared_.jobs_bell().Wait(heard, std::min(kLookInterval, bookmark_due - absl::Now()));
  }
}

}  // namespace yoke::service
