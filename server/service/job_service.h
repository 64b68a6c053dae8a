// yoke.v1.JobService over store and control; the contract is in proto/yoke/v1/job.proto.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "server/jobs/spec.h"
#include "server/service/queue_limit.h"
#include "server/service/shared.h"
#include "yoke/v1/job.grpc.pb.h"

namespace yoke::service {

// Thread-safe. `shared` must outlive it.
class JobService final : public v1::JobService::Service {
 public:
  explicit JobService(Shared& shared)
      : shared_(shared), queue_(shared.store(), shared.facts().queue_length_max) {}

  grpc::Status CreateJob(grpc::ServerContext* context, const v1::CreateJobRequest* request,
                         v1::Job* job) override;
  grpc::Status GetJob(grpc::ServerContext* context, const v1::GetJobRequest* request,
                      v1::Job* job) override;
  grpc::Status ListJobs(grpc::ServerContext* context, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override;
  grpc::Status CancelJob(grpc::ServerContext* context, const v1::CancelJobRequest* request,
                         v1::Job* job) override;
  grpc::Status WaitJob(grpc::ServerContext* context, const v1::WaitJobRequest* request,
                       v1::Job* job) override;
  grpc::Status WatchJobs(grpc::ServerContext* context, const v1::WatchJobsRequest* request,
                         grpc::ServerWriter<v1::WatchJobsResponse>* writer) override;
  // In batch.cc.
  grpc::Status BatchCreateJobs(grpc::ServerContext* context,
                               const v1::BatchCreateJobsRequest* request,
                               v1::BatchCreateJobsResponse* response) override;
  // In job_order.cc.
  grpc::Status HoldJob(grpc::ServerContext* context, const v1::HoldJobRequest* request,
                       v1::Job* job) override;
  grpc::Status ReleaseJob(grpc::ServerContext* context, const v1::ReleaseJobRequest* request,
                          v1::Job* job) override;
  grpc::Status RequeueJob(grpc::ServerContext* context, const v1::RequeueJobRequest* request,
                          v1::Job* job) override;
  // In job_update.cc.
  grpc::Status UpdateJob(grpc::ServerContext* context, const v1::UpdateJobRequest* request,
                         v1::Job* job) override;
  // In job_order.cc.
  grpc::Status ExplainJob(grpc::ServerContext* context, const v1::ExplainJobRequest* request,
                          v1::ExplainJobResponse* response) override;
  grpc::Status ListQueue(grpc::ServerContext* context, const v1::ListQueueRequest* request,
                         v1::ListQueueResponse* response) override;

 private:
  absl::Status Create(const grpc::ServerContext& context, const v1::CreateJobRequest& request,
                      v1::Job& job);
  // The record to store, and in `parent` the job that it resumes, if any. `measured`: Measured().
  absl::StatusOr<jobs::JobRecord> Prepare(const char* rpc, const Caller& caller,
                                          const v1::CreateJobRequest& request,
                                          const jobs::MeasuredMemory& measured,
                                          std::optional<jobs::JobRecord>& parent);
  jobs::MeasuredMemory Measured() const;
  absl::Status BatchCreate(const grpc::ServerContext& context,
                           const v1::BatchCreateJobsRequest& request,
                           v1::BatchCreateJobsResponse& response);
  absl::StatusOr<std::vector<jobs::JobRecord>> PrepareAll(
      const Caller& caller, const v1::BatchCreateJobsRequest& request);
  // Asks the worker about the data set, the weights and the run folder to resume from ("": none).
  absl::Status Check(jobs::JobRecord record, const std::string& resume_from, v1::Job& job);
  absl::Status List(const grpc::ServerContext& context, const v1::ListJobsRequest& request,
                    v1::ListJobsResponse& response);
  absl::Status Cancel(const grpc::ServerContext& context, const v1::CancelJobRequest& request,
                      v1::Job& job);
  absl::Status Wait(const grpc::ServerContext& context, const v1::WaitJobRequest& request,
                    v1::Job& job);
  absl::Status Watch(const grpc::ServerContext& context, const v1::WatchJobsRequest& request,
                     grpc::ServerWriter<v1::WatchJobsResponse>& writer);
  using JobEdit = std::function<absl::Status(jobs::JobRecord&)>;
  using ArrayEdit = std::function<absl::Status(jobs::ArrayWithTasks&)>;
  // Changes the stored job by `edit`, an array with its tasks by `edit_array`, whose refusal is the
  // answer.
  absl::Status Edit(const grpc::ServerContext& context, const char* rpc, const std::string& name,
                    const JobEdit& edit, const ArrayEdit& edit_array, v1::Job& job);
  absl::Status Requeue(const grpc::ServerContext& context, const v1::RequeueJobRequest& request,
                       v1::Job& job);
  absl::Status Update(const grpc::ServerContext& context, const v1::UpdateJobRequest& request,
                      v1::Job& job);
  // Gives the wanted dependencies their jobs' full names; refuses those that wait for the job
  // itself.
  absl::Status FindNewDependencies(const Caller& caller, v1::Job& wanted);
  absl::Status Explain(const grpc::ServerContext& context, const v1::ExplainJobRequest& request,
                       v1::ExplainJobResponse& response);
  absl::Status Queue(const grpc::ServerContext& context, const v1::ListQueueRequest& request,
                     v1::ListQueueResponse& response);

  Shared& shared_;
  QueueLimit queue_;
  Mutex update_mutex_;  // held while a job is updated
};

}  // namespace yoke::service
