// Asks one operation of yoked many times over one connection and prints what it cost as a line of
// JSON:
//
//   queue_load SOCKET submit|batch|get|list COUNT IN_FLIGHT DEVICE
//   queue_load SOCKET serve
//
// `get` reads the newest job, `list` the newest page of 100, `batch` submits COUNT jobs in calls of
// at most 1,000. Latencies are from the call to its answer. `serve` waits until a job can be listed
// and prints how long that took.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "common/base/mutex.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "yoke/v1/job.grpc.pb.h"

namespace yoke {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kCallTimeout(60);
constexpr int kPage = 100;
constexpr int kBatch = 1000;
constexpr std::chrono::seconds kServeTimeout(60);

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// One call: what it was given and got must live until its answer.
struct Call {
  grpc::ClientContext context;
  Clock::time_point begin = Clock::now();
  v1::CreateJobRequest create;
  v1::BatchCreateJobsRequest batch;
  v1::GetJobRequest get;
  v1::ListJobsRequest list;
  v1::Job job;
  v1::ListJobsResponse page;
  v1::BatchCreateJobsResponse accepted;
};

class Load {
 public:
  Load(const std::string& socket, std::string operation, std::string device)
      : jobs_(v1::JobService::NewStub(
            grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()))),
        operation_(std::move(operation)),
        device_(std::move(device)) {}

  // The name of the newest job, for `get`.
  grpc::Status Prepare() {
    if (operation_ != "get") return grpc::Status::OK;
    grpc::ClientContext context;
    v1::ListJobsRequest request;
    request.set_page_size(1);
    v1::ListJobsResponse page;
    const grpc::Status status = jobs_->ListJobs(&context, request, &page);
    if (status.ok() && page.jobs_size() == 0)
      return {grpc::StatusCode::NOT_FOUND, "there is no job to get: submit one first"};
    if (status.ok()) name_ = page.jobs(0).name();
    return status;
  }

  void Run(int count, int in_flight) {
    items_ = count;
    const Clock::time_point begin = Clock::now();
    const int at_once = operation_ == "batch" ? kBatch : 1;
    for (int i = 0; i < count; i += at_once) {
      {
        MutexLock lock(mutex_);
        while (flying_ >= in_flight) landed_.Wait(mutex_);
        ++flying_;
      }
      Ask(std::min(at_once, count - i));
    }
    MutexLock lock(mutex_);
    while (flying_ > 0) landed_.Wait(mutex_);
    seconds_ = SecondsSince(begin);
  }

  // False when a call failed; says how the first one did.
  bool Print() {
    MutexLock lock(mutex_);
    if (!failure_.ok())
      absl::FPrintF(stderr, "queue_load: %d calls failed, the first: %s\n", failed_,
                    failure_.error_message());
    if (latencies_.empty()) return false;
    std::sort(latencies_.begin(), latencies_.end());
    const auto at = [&](double share) {
      return latencies_[static_cast<size_t>(share * static_cast<double>(latencies_.size() - 1))] *
             1000;
    };
    absl::PrintF("{\"calls\": %d, \"per_second\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n",
                 latencies_.size(), items_ / seconds_, at(0.5), at(0.99));
    return failure_.ok();
  }

 private:
  void Describe(v1::CreateJobRequest& create) const {
    create.mutable_spec()->mutable_train()->set_data("/data.yaml");
    create.mutable_spec()->set_device(device_);
  }

  void Ask(int items) {
    auto call = std::make_shared<Call>();
    call->context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    const auto answered = [this, call](const grpc::Status& status) { Land(*call, status); };
    if (operation_ == "submit") {
      Describe(call->create);
      jobs_->async()->CreateJob(&call->context, &call->create, &call->job, answered);
    } else if (operation_ == "batch") {
      for (int i = 0; i < items; ++i) Describe(*call->batch.add_requests());
      jobs_->async()->BatchCreateJobs(&call->context, &call->batch, &call->accepted, answered);
    } else if (operation_ == "get") {
      call->get.set_name(name_);
      jobs_->async()->GetJob(&call->context, &call->get, &call->job, answered);
    } else {
      call->list.set_page_size(kPage);
      jobs_->async()->ListJobs(&call->context, &call->list, &call->page, answered);
    }
  }

  void Land(const Call& call, const grpc::Status& status) {
    const double seconds = SecondsSince(call.begin);
    MutexLock lock(mutex_);
    --flying_;
    if (status.ok()) {
      latencies_.push_back(seconds);
    } else if (++failed_ == 1) {
      failure_ = status;
    }
    landed_.NotifyAll();
  }

  const std::unique_ptr<v1::JobService::Stub> jobs_;
  const std::string operation_, device_;
  std::string name_;
  double seconds_ = 0, items_ = 0;
  Mutex mutex_;
  CondVar landed_;
  int flying_ YOKE_GUARDED_BY(mutex_) = 0;
  int failed_ YOKE_GUARDED_BY(mutex_) = 0;
  grpc::Status failure_ YOKE_GUARDED_BY(mutex_);
  std::vector<double> latencies_ YOKE_GUARDED_BY(mutex_);
};

// A channel that was refused waits long before it tries again: every try has one of its own.
int Serve(const std::string& socket) {
  const Clock::time_point begin = Clock::now();
  while (SecondsSince(begin) < std::chrono::duration<double>(kServeTimeout).count()) {
    grpc::ChannelArguments own;
    own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto jobs = v1::JobService::NewStub(
        grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), own));
    grpc::ClientContext context;
    v1::ListJobsRequest request;
    request.set_page_size(1);
    v1::ListJobsResponse page;
    if (jobs->ListJobs(&context, request, &page).ok()) {
      absl::PrintF("{\"seconds\": %.4f}\n", SecondsSince(begin));
      return 0;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::fputs("queue_load: nobody serves\n", stderr);
  return 1;
}

int Main(int argc, char** argv) {
  int count = 0;
  int in_flight = 0;
  const std::string operation = argc > 2 ? argv[2] : "";
  if (argc == 3 && operation == "serve") return Serve(argv[1]);
  if (argc != 6 || (operation != "submit" && operation != "batch" && operation != "get" && operation != "list") ||
      !absl::SimpleAtoi(argv[3], &count) || !absl::SimpleAtoi(argv[4], &in_flight) || count < 1 ||
      in_flight < 1) {
    std::fputs("usage: queue_load SOCKET submit|batch|get|list COUNT IN_FLIGHT DEVICE, or SOCKET serve\n", stderr);
    return 2;
  }
  Load load(argv[1], operation, argv[5]);
  if (const grpc::Status status = load.Prepare(); !status.ok()) {
    absl::FPrintF(stderr, "queue_load: %s\n", status.error_message());
    return 1;
  }
  load.Run(count, in_flight);
  const bool good = load.Print();
  std::fflush(stdout);
  // gRPC may still be putting the last call away; to take its channel down meanwhile has aborted.
  std::_Exit(good ? 0 : 1);
}

}  // namespace
}  // namespace yoke

int main(int argc, char** argv) { return yoke::Main(argc, argv); }
