#include "client/lib/client.h"

#include <atomic>
#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/lib/call_error.h"
#include "client/lib/exit_code.h"
#include "client/lib/nonce.h"
#include "client/lib/stream.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "grpc/grpc.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "yoke/v1/device.grpc.pb.h"
#include "yoke/v1/job.grpc.pb.h"
#include "yoke/v1/stream.grpc.pb.h"
#include "yoke/v1/system.grpc.pb.h"

namespace yoke::client {
namespace {

constexpr absl::Duration kCallTimeout = absl::Seconds(30);
// A dry run scans the data set, a check asks the worker.
constexpr absl::Duration kSlowCallTimeout = absl::Minutes(10);
// How long a submission that lost its connection is repeated.
constexpr absl::Duration kSubmitPatience = absl::Seconds(30);
// One WaitJob call; a longer wait is several.
constexpr absl::Duration kWaitSlice = absl::Minutes(5);
constexpr int kPageSize = 200;
constexpr int kMessageBytesMax = 16 << 20;

std::shared_ptr<grpc::Channel> MakeChannel(const ServerAddress& server) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // Also the time one attempt may take: on a busy machine a daemon may need a while to greet.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Every client its own connection: one that is broken is not shared through gRPC's global pool.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  return grpc::CreateCustomChannel(server.target, grpc::InsecureChannelCredentials(), arguments);
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  google::protobuf::Duration proto;
  proto.set_seconds(absl::ToInt64Seconds(duration));
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration - absl::Seconds(proto.seconds()))));
  return proto;
}

class GrpcClient final : public Client {
 public:
  explicit GrpcClient(ClientOptions options)
      : options_(std::move(options)),
        channel_(MakeChannel(options_.server)),
        jobs_(v1::JobService::NewStub(channel_)),
        streams_(v1::StreamService::NewStub(channel_)),
        devices_(v1::DeviceService::NewStub(channel_)),
        system_(v1::SystemService::NewStub(channel_)) {}

  absl::StatusOr<v1::Job> CreateJob(v1::CreateJobRequest request) override {
    if (request.request_id().empty()) request.set_request_id(NewRequestId());
    const absl::Duration timeout = request.validate_only() ? kSlowCallTimeout : kCallTimeout;
    return Call<v1::Job>(timeout, kSubmitPatience, [&](grpc::ClientContext* context, v1::Job* job) {
      return jobs_->CreateJob(context, request, job);
    });
  }

  absl::StatusOr<v1::BatchCreateJobsResponse> BatchCreateJobs(v1::BatchCreateJobsRequest request) override {
    for (v1::CreateJobRequest& create : *request.mutable_requests()) {
      if (create.request_id().empty()) create.set_request_id(NewRequestId());
    }
    return Call<v1::BatchCreateJobsResponse>(kCallTimeout, kSubmitPatience,
                                             [&](grpc::ClientContext* context, v1::BatchCreateJobsResponse* response) {
                                               return jobs_->BatchCreateJobs(context, request, response);
                                             });
  }

  absl::StatusOr<v1::Job> GetJob(const std::string& id) override {
    v1::GetJobRequest request;
    request.set_name(JobName(id));
    return Call<v1::Job>(kCallTimeout, absl::ZeroDuration(), [&](grpc::ClientContext* context, v1::Job* job) {
      return jobs_->GetJob(context, request, job);
    });
  }

  absl::StatusOr<v1::ListJobsResponse> ListJobs(const std::string& filter, int limit) override {
    v1::ListJobsRequest request;
    request.set_filter(filter);
    v1::ListJobsResponse all;
    do {
      const int left = limit - all.jobs_size();
      request.set_page_size(limit == 0 ? kPageSize : std::min(kPageSize, left));
      YOKE_ASSIGN_OR_RETURN(v1::ListJobsResponse page,
                            Call<v1::ListJobsResponse>(kCallTimeout, absl::ZeroDuration(),
                                                       [&](grpc::ClientContext* context, v1::ListJobsResponse* response) {
                                                         return jobs_->ListJobs(context, request, response);
                                                       }));
      // To watch without a gap one starts where the first page was read.
      if (all.resume_token().empty()) all.set_resume_token(page.resume_token());
      all.mutable_jobs()->MergeFrom(page.jobs());
      all.set_next_page_token(page.next_page_token());
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty() && (limit == 0 || all.jobs_size() < limit));
    return all;
  }

  absl::StatusOr<v1::Job> CancelJob(const std::string& id, absl::Duration grace, const std::string& comment) override {
    v1::CancelJobRequest request;
    request.set_name(JobName(id));
    request.set_comment(comment);
    if (grace >= absl::ZeroDuration()) *request.mutable_grace() = ToProto(grace);
    return Call<v1::Job>(kCallTimeout, absl::ZeroDuration(), [&](grpc::ClientContext* context, v1::Job* job) {
      return jobs_->CancelJob(context, request, job);
    });
  }

  absl::StatusOr<v1::Job> HoldJob(const std::string& id) override {
    v1::HoldJobRequest request;
    request.set_name(JobName(id));
    return Call<v1::Job>(kCallTimeout, absl::ZeroDuration(), [&](grpc::ClientContext* context, v1::Job* job) {
      return jobs_->HoldJob(context, request, job);
    });
  }

  absl::StatusOr<v1::Job> ReleaseJob(const std::string& id) override {
    v1::ReleaseJobRequest request;
    request.set_name(JobName(id));
    return Call<v1::Job>(kCallTimeout, absl::ZeroDuration(), [&](grpc::ClientContext* context, v1::Job* job) {
      return jobs_->ReleaseJob(context, request, job);
    });
  }

  absl::StatusOr<v1::Job> RequeueJob(const std::string& id, absl::Duration grace) override {
    v1::RequeueJobRequest request;
    request.set_name(JobName(id));
    if (grace >= absl::ZeroDuration()) *request.mutable_grace() = ToProto(grace);
    return Call<v1::Job>(kCallTimeout, absl::ZeroDuration(), [&](grpc::ClientContext* context, v1::Job* job) {
      return jobs_->RequeueJob(context, request, job);
    });
  }

  absl::StatusOr<v1::Job> UpdateJob(const v1::UpdateJobRequest& request) override {
    return Call<v1::Job>(kCallTimeout, absl::ZeroDuration(), [&](grpc::ClientContext* context, v1::Job* job) {
      return jobs_->UpdateJob(context, request, job);
    });
  }

  absl::StatusOr<v1::ExplainJobResponse> ExplainJob(const std::string& id) override {
    v1::ExplainJobRequest request;
    request.set_name(JobName(id));
    return Call<v1::ExplainJobResponse>(kCallTimeout, absl::ZeroDuration(),
                                        [&](grpc::ClientContext* context, v1::ExplainJobResponse* response) {
                                          return jobs_->ExplainJob(context, request, response);
                                        });
  }

  absl::StatusOr<v1::ListQueueResponse> ListQueue(int limit) override {
    v1::ListQueueRequest request;
    request.set_page_size(limit);
    return Call<v1::ListQueueResponse>(kCallTimeout, absl::ZeroDuration(),
                                       [&](grpc::ClientContext* context, v1::ListQueueResponse* response) {
                                         return jobs_->ListQueue(context, request, response);
                                       });
  }

  absl::StatusOr<v1::Job> WaitJob(const std::string& id, absl::Duration timeout) override {
    const absl::Time deadline = absl::Now() + timeout;
    while (true) {
      const absl::Duration left = std::max(absl::ZeroDuration(), deadline - absl::Now());
      const absl::Duration slice = std::min(left, kWaitSlice);
      v1::WaitJobRequest request;
      request.set_name(JobName(id));
      *request.mutable_timeout() = ToProto(slice);
      absl::StatusOr<v1::Job> job = Call<v1::Job>(slice + absl::Seconds(10), options_.patience,
                                                  [&](grpc::ClientContext* context, v1::Job* answer) {
                                                    return jobs_->WaitJob(context, request, answer);
                                                  });
      if (job.ok() && HasEnded(job->state())) return job;
      if (!job.ok() && !absl::IsDeadlineExceeded(job.status())) return job;
      if (absl::Now() >= deadline) {
        return absl::DeadlineExceededError(
            absl::StrCat("job ", JobId(id), " has not ended in ", absl::FormatDuration(timeout)));
      }
    }
  }

  absl::StatusOr<v1::ListDevicesResponse> ListDevices() override {
    return Call<v1::ListDevicesResponse>(kCallTimeout, absl::ZeroDuration(),
                                         [&](grpc::ClientContext* context, v1::ListDevicesResponse* response) {
                                           return devices_->ListDevices(context, {}, response);
                                         });
  }

  absl::StatusOr<v1::CheckSystemResponse> CheckSystem() override {
    return Call<v1::CheckSystemResponse>(kSlowCallTimeout, absl::ZeroDuration(),
                                         [&](grpc::ClientContext* context, v1::CheckSystemResponse* response) {
                                           return system_->CheckSystem(context, {}, response);
                                         });
  }

  absl::StatusOr<v1::Device> DrainDevice(const std::string& device, const std::string& reason) override {
    v1::DrainDeviceRequest request;
    request.set_device(device);
    request.set_reason(reason);
    return Call<v1::Device>(kCallTimeout, absl::ZeroDuration(), [&](grpc::ClientContext* context, v1::Device* response) {
      return devices_->DrainDevice(context, request, response);
    });
  }

  absl::StatusOr<v1::Device> ResumeDevice(const std::string& device) override {
    v1::ResumeDeviceRequest request;
    request.set_device(device);
    return Call<v1::Device>(kCallTimeout, absl::ZeroDuration(), [&](grpc::ClientContext* context, v1::Device* response) {
      return devices_->ResumeDevice(context, request, response);
    });
  }

  absl::StatusOr<v1::CreateBackupResponse> CreateBackup(const std::string& path) override {
    v1::CreateBackupRequest request;
    request.set_path(path);
    return Call<v1::CreateBackupResponse>(kSlowCallTimeout, absl::ZeroDuration(),
                                          [&](grpc::ClientContext* context, v1::CreateBackupResponse* response) {
                                            return system_->CreateBackup(context, request, response);
                                          });
  }

  absl::StatusOr<v1::GetServerInfoResponse> GetServerInfo(const std::string& probe_path) override {
    v1::GetServerInfoRequest request;
    request.set_probe_path(probe_path);
    return Call<v1::GetServerInfoResponse>(kCallTimeout, absl::ZeroDuration(),
                                           [&](grpc::ClientContext* context, v1::GetServerInfoResponse* response) {
                                             return system_->GetServerInfo(context, request, response);
                                           });
  }

  absl::StatusOr<bool> SharesFiles() override {
    if (!options_.server.is_unix) return false;
    YOKE_ASSIGN_OR_RETURN(const NonceFile nonce, NonceFile::Make());
    YOKE_ASSIGN_OR_RETURN(const v1::GetServerInfoResponse info, GetServerInfo(nonce.path()));
    return info.probe_sha256() == nonce.sha256();
  }

  absl::Status TailLogs(v1::TailLogsRequest request,
                        const std::function<Next(const v1::TailLogsResponse&)>& on_frame) override {
    request.set_name(JobName(request.name()));
    return Stream<v1::TailLogsRequest, v1::TailLogsResponse>(
        std::move(request),
        [this](grpc::ClientContext* context, const v1::TailLogsRequest& asked, grpc::CompletionQueue* queue) {
          return streams_->PrepareAsyncTailLogs(context, asked, queue);
        },
        [](v1::TailLogsRequest& asked, const v1::TailLogsResponse& frame) {
          asked.set_resume_token(frame.resume_token());
          return frame.has_end() ? FrameKind::kEnd : frame.has_bookmark() ? FrameKind::kBookmark : FrameKind::kData;
        },
        on_frame);
  }

  absl::Status TailMetrics(v1::TailMetricsRequest request,
                           const std::function<Next(const v1::TailMetricsResponse&)>& on_frame) override {
    request.set_name(JobName(request.name()));
    return Stream<v1::TailMetricsRequest, v1::TailMetricsResponse>(
        std::move(request),
        [this](grpc::ClientContext* context, const v1::TailMetricsRequest& asked, grpc::CompletionQueue* queue) {
          return streams_->PrepareAsyncTailMetrics(context, asked, queue);
        },
        [](v1::TailMetricsRequest& asked, const v1::TailMetricsResponse& frame) {
          asked.set_resume_token(frame.resume_token());
          return frame.has_end() ? FrameKind::kEnd : frame.has_bookmark() ? FrameKind::kBookmark : FrameKind::kData;
        },
        on_frame);
  }

  absl::Status WatchJobs(v1::WatchJobsRequest request,
                         const std::function<Next(const v1::WatchJobsResponse&)>& on_frame) override {
    return Stream<v1::WatchJobsRequest, v1::WatchJobsResponse>(
        std::move(request),
        [this](grpc::ClientContext* context, const v1::WatchJobsRequest& asked, grpc::CompletionQueue* queue) {
          return jobs_->PrepareAsyncWatchJobs(context, asked, queue);
        },
        [](v1::WatchJobsRequest& asked, const v1::WatchJobsResponse& frame) {
          asked.set_resume_token(frame.resume_token());
          return frame.has_job() ? FrameKind::kData : FrameKind::kBookmark;
        },
        on_frame);
  }

  absl::Status WatchDevices(const std::function<Next(const v1::WatchDevicesResponse&)>& on_frame) override {
    return Stream<v1::WatchDevicesRequest, v1::WatchDevicesResponse>(
        {},
        [this](grpc::ClientContext* context, const v1::WatchDevicesRequest& asked, grpc::CompletionQueue* queue) {
          return devices_->PrepareAsyncWatchDevices(context, asked, queue);
        },
        [](v1::WatchDevicesRequest&, const v1::WatchDevicesResponse&) { return FrameKind::kData; }, on_frame);
  }

  void Interrupt() override {
    interrupted_ = true;
    MutexLock lock(mutex_);
    for (grpc::ClientContext* context : unary_) context->TryCancel();
    woken_.NotifyAll();
  }

 private:
  std::unique_ptr<grpc::ClientContext> MakeContext() const {
    auto context = std::make_unique<grpc::ClientContext>();
    if (!options_.server.token.empty()) context->AddMetadata("authorization", absl::StrCat("Bearer ", options_.server.token));
    return context;
  }

  absl::Status Unreachable() const {
    return absl::UnavailableError(absl::StrCat("no daemon answers on ", options_.server.display,
                                               "; start one with: yoked &  (or: systemctl start yoked)"));
  }

  // Waits for the first connection only; a refusal is an answer at once.
  absl::Status EnsureConnected() {
    if (connected_) return absl::OkStatus();
    const auto deadline = std::chrono::system_clock::now() + absl::ToChronoMilliseconds(options_.connect_timeout);
    while (true) {
      const grpc_connectivity_state state = channel_->GetState(true);
      if (state == GRPC_CHANNEL_READY) break;
      if (interrupted_) return absl::CancelledError("interrupted");
      if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || !channel_->WaitForStateChange(state, deadline)) return Unreachable();
    }
    connected_ = true;
    return absl::OkStatus();
  }

  template <typename Response>
  absl::StatusOr<Response> Call(absl::Duration timeout, absl::Duration patience,
                                const std::function<grpc::Status(grpc::ClientContext*, Response*)>& call) {
    YOKE_RETURN_IF_ERROR(EnsureConnected());
    absl::Time gone_since = absl::InfiniteFuture();
    while (true) {
      Response response;
      const std::unique_ptr<grpc::ClientContext> context = MakeContext();
      context->set_deadline(absl::ToChronoTime(absl::Now() + timeout));
      {
        MutexLock lock(mutex_);
        if (interrupted_) return absl::CancelledError("interrupted");
        unary_.insert(context.get());
      }
      const grpc::Status status = call(context.get(), &response);
      {
        MutexLock lock(mutex_);
        unary_.erase(context.get());
      }
      if (status.ok()) return response;
      if (interrupted_) return absl::CancelledError("interrupted");
      // A server that stops in good order cancels the calls it is serving.
      const bool cut = status.error_code() == grpc::UNAVAILABLE || status.error_code() == grpc::CANCELLED;
      if (!cut) return FromGrpc(status);
      // An answer of a server that is there, e.g. while it stops, carries details; a broken connection does not.
      const absl::Time now = absl::Now();
      if (gone_since == absl::InfiniteFuture()) {
        gone_since = now;
        if (patience > absl::ZeroDuration()) options_.notice("server went away, trying again ...");
      }
      if (now - gone_since >= patience) {
        return status.error_code() == grpc::UNAVAILABLE && !status.error_details().empty() ? FromGrpc(status) : Unreachable();
      }
      AwaitConnection(absl::Milliseconds(200));
    }
  }

  template <typename Request, typename Response>
  absl::Status Stream(Request request,
                      const std::function<std::unique_ptr<grpc::ClientAsyncReader<Response>>(
                          grpc::ClientContext*, const Request&, grpc::CompletionQueue*)>& open,
                      const std::function<FrameKind(Request&, const Response&)>& classify,
                      const std::function<Next(const Response&)>& on_frame) {
    YOKE_RETURN_IF_ERROR(EnsureConnected());
    StreamHost host{.patience = options_.patience,
                    .silence = options_.silence,
                    .notice = options_.notice,
                    .interrupted = [this] { return interrupted_.load(); },
                    .make_context = [this] { return MakeContext(); },
                    .pause = [this](absl::Duration duration) { AwaitConnection(duration); }};
    return Resume<Request, Response>(std::move(request), host, open, classify, on_frame);
  }

  // Pauses, but no longer than until a lost connection is back. It has to be waited for on the channel: between calls
  // nothing else drives an attempt to connect, but for a look every 5 s.
  void AwaitConnection(absl::Duration duration) {
    if (channel_->GetState(true) == GRPC_CHANNEL_READY) return Pause(duration);
    const absl::Time deadline = absl::Now() + duration;
    while (!interrupted_ && absl::Now() < deadline) {
      const grpc_connectivity_state state = channel_->GetState(true);
      if (state == GRPC_CHANNEL_READY) return;
      channel_->WaitForStateChange(state, absl::ToChronoTime(std::min(deadline, absl::Now() + absl::Milliseconds(100))));
    }
  }

  void Pause(absl::Duration duration) {
    const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(duration);
    MutexLock lock(mutex_);
    while (!interrupted_ && woken_.WaitUntil(mutex_, deadline)) {
    }
  }

  const ClientOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::JobService::Stub> jobs_;
  const std::unique_ptr<v1::StreamService::Stub> streams_;
  const std::unique_ptr<v1::DeviceService::Stub> devices_;
  const std::unique_ptr<v1::SystemService::Stub> system_;
  std::atomic<bool> connected_ = false;
  std::atomic<bool> interrupted_ = false;
  Mutex mutex_;
  CondVar woken_;
  std::set<grpc::ClientContext*> unary_ YOKE_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<Client> Client::Make(ClientOptions options) {
  // Never given back: after a large message, whoever gives back the last one may wait 10 s for a thread of gRPC's.
  grpc_init();
  return std::make_unique<GrpcClient>(std::move(options));
}

std::string JobName(const std::string& id) { return absl::StartsWith(id, "jobs/") ? id : absl::StrCat("jobs/", id); }

std::string JobId(const std::string& name) { return absl::StartsWith(name, "jobs/") ? name.substr(5) : name; }

}  // namespace yoke::client
