// The part of JobService that orders the queue: hold, release, requeue, explain, list.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "google/rpc/error_details.pb.h"
#include "server/jobs/array.h"
#include "server/jobs/transitions.h"
#include "server/service/durations.h"
#include "server/service/errors.h"
#include "server/service/job_service.h"
#include "server/service/request_fields.h"

namespace yoke::service {
namespace {

constexpr char kHoldJob[] = "yoke.v1.JobService/HoldJob";
constexpr char kReleaseJob[] = "yoke.v1.JobService/ReleaseJob";
constexpr char kRequeueJob[] = "yoke.v1.JobService/RequeueJob";
constexpr char kExplainJob[] = "yoke.v1.JobService/ExplainJob";
constexpr char kListQueue[] = "yoke.v1.JobService/ListQueue";

// A refusal by the job's state, with what it is about.
absl::Status AsStateError(const absl::Status& status, const std::string& job_name) {
  if (!absl::IsFailedPrecondition(status)) return status;
  google::rpc::PreconditionFailure failure;
  auto& violation = *failure.add_violations();
  violation.set_type("STATE");
  violation.set_subject(job_name);
  violation.set_description(std::string(status.message()));
  return WithDetail(status, failure);
}

void ExplainEntry(const char* who, const v1::QueueEntry& entry, v1::ExplainJobResponse& response) {
  *response.mutable_entry() = entry;
  response.add_sentences(absl::StrCat(who, entry.message(), "."));
  response.add_sentences(
      absl::StrCat("Its place in the queue is ", entry.place(), " of ", response.waiting(), "."));
  response.add_sentences(
      entry.has_earliest_start_time()
          ? absl::StrCat(
                "It can start at ",
                absl::FormatTime("%Y-%m-%d %H:%M:%S %Z",
                                 absl::FromUnixSeconds(entry.earliest_start_time().seconds()),
                                 absl::LocalTimeZone()),
                ": ", entry.earliest_start_reason(), ".")
          : absl::StrCat("When it can start is ", entry.earliest_start_reason(), "."));
}

// Where its tasks are, and what the first one of them that waits waits for.
void ExplainArray(const v1::Job& job, const jobs::QueueView& view,
                  v1::ExplainJobResponse& response) {
  const v1::Array& array = job.array();
  response.add_sentences(
      absl::StrCat("Of its ", array.count(), " tasks ", array.queued() + jobs::TasksLeft(job),
                   " wait, ", array.running(), " run, ", array.succeeded(), " have succeeded, ",
                   array.failed(), " have failed, ", array.cancelled(), " were cancelled."));
  if (!job.message().empty())
    response.add_sentences(
        absl::StrCat("It is ", v1::Job::State_Name(job.state()), ": ", job.message()));
  for (const v1::QueueEntry& entry : view.entries) {
    if (entry.array_job() == job.name()) return ExplainEntry("Its next task ", entry, response);
  }
  // None of its tasks waits: the next is made when one can start soon.
  if (jobs::TasksLeft(job) == 0 || job.state() == v1::Job::HELD) return;
  const bool full = array.running_max() > 0 && array.running() >= array.running_max();
  response.add_sentences(
      full ? absl::StrCat("It runs as many tasks at once as it may, ", array.running_max(), ".")
           : "Its next task is about to be made.");
}

}  // namespace

absl::Status JobService::Edit(const grpc::ServerContext& context, const char* rpc,
                              const std::string& name, const JobEdit& edit,
                              const ArrayEdit& edit_array, v1::Job& job) {
  YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(context, rpc));
  YOKE_ASSIGN_OR_RETURN(const jobs::JobRecord found, shared_.FindJob(rpc, caller, name));
  if (jobs::IsArray(found.public_job)) {
    const auto edited = shared_.store().UpdateArray(found.id, edit_array);
    if (!edited.ok()) return AsStateError(edited.status(), found.public_job.name());
    job = edited->array.public_job;
    return absl::OkStatus();
  }
  const auto edited = shared_.store().Update(
      found.id,
      [&](jobs::JobRecord& record, jobs::JobStore::LeaseChange&) { return edit(record); });
  if (!edited.ok()) return AsStateError(edited.status(), found.public_job.name());
  job = edited->public_job;
  return absl::OkStatus();
}

grpc::Status JobService::HoldJob(grpc::ServerContext* context, const v1::HoldJobRequest* request,
                                 v1::Job* job) {
  return ToGrpc(Edit(*context, kHoldJob, request->name(), jobs::Hold, jobs::HoldArray, *job));
}

grpc::Status JobService::ReleaseJob(grpc::ServerContext* context,
                                    const v1::ReleaseJobRequest* request, v1::Job* job) {
  return ToGrpc(
      Edit(*context, kReleaseJob, request->name(), jobs::Release, jobs::ReleaseArray, *job));
}

grpc::Status JobService::RequeueJob(grpc::ServerContext* context,
                                    const v1::RequeueJobRequest* request, v1::Job* job) {
  return ToGrpc(Requeue(*context, *request, *job));
}

absl::Status JobService::Requeue(const grpc::ServerContext& context,
                                 const v1::RequeueJobRequest& request, v1::Job& job) {
  YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(context, kRequeueJob));
  YOKE_ASSIGN_OR_RETURN(const std::optional<absl::Duration> grace, GraceOf(request));
  YOKE_ASSIGN_OR_RETURN(const jobs::JobRecord found,
                        shared_.FindJob(kRequeueJob, caller, request.name()));
  const absl::StatusOr<jobs::JobRecord> requeued = shared_.control().Requeue(found.id, grace);
  if (!requeued.ok()) return AsStateError(requeued.status(), found.public_job.name());
  job = requeued->public_job;
  return absl::OkStatus();
}

grpc::Status JobService::ExplainJob(grpc::ServerContext* context,
                                    const v1::ExplainJobRequest* request,
                                    v1::ExplainJobResponse* response) {
  return ToGrpc(Explain(*context, *request, *response));
}

absl::Status JobService::Explain(const grpc::ServerContext& context,
                                 const v1::ExplainJobRequest& request,
                                 v1::ExplainJobResponse& response) {
  YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(context, kExplainJob));
  YOKE_ASSIGN_OR_RETURN(const jobs::JobRecord found,
                        shared_.FindJob(kExplainJob, caller, request.name()));
  YOKE_ASSIGN_OR_RETURN(const jobs::QueueView view, shared_.control().Queue());
  const v1::Job& job = found.public_job;
  response.set_job(job.name());
  response.set_state(job.state());
  response.set_waiting(static_cast<int>(view.entries.size()));
  const auto entry =
      std::find_if(view.entries.begin(), view.entries.end(),
                   [&](const v1::QueueEntry& other) { return other.job() == job.name(); });
  if (jobs::IsArray(job)) {
    ExplainArray(job, view, response);
    return absl::OkStatus();
  }
  if (entry == view.entries.end()) {
    response.add_sentences(
        job.state() == v1::Job::QUEUED && !view.problem.empty()
            ? absl::StrCat("It could start now, but nothing can be started: ", view.problem)
        : job.state() == v1::Job::QUEUED
            ? "It starts now, or ends because it never can."
            : absl::StrCat("It does not wait: it is ", v1::Job::State_Name(job.state()), "."));
    if (job.state() != v1::Job::QUEUED && !job.message().empty())
      response.add_sentences(job.message());
    return absl::OkStatus();
  }
  ExplainEntry("It ", *entry, response);
  return absl::OkStatus();
}

grpc::Status JobService::ListQueue(grpc::ServerContext* context,
                                   const v1::ListQueueRequest* request,
                                   v1::ListQueueResponse* response) {
  return ToGrpc(Queue(*context, *request, *response));
}

absl::Status JobService::Queue(const grpc::ServerContext& context,
                               const v1::ListQueueRequest& request,
                               v1::ListQueueResponse& response) {
  YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(context, kListQueue));
  YOKE_ASSIGN_OR_RETURN(const int most, PageSizeOf(request.page_size()));
  YOKE_ASSIGN_OR_RETURN(jobs::QueueView view, shared_.control().Queue());
  response.set_waiting(static_cast<int>(view.entries.size()));
  for (v1::QueueEntry& entry : view.entries) {
    if (response.entries_size() == most) break;
    if (shared_.MaySee(kListQueue, caller, entry.owner()))
      *response.add_entries() = std::move(entry);
  }
  return absl::OkStatus();
}

}  // namespace yoke::service
