#include "tests/unit/client/fake_daemon.h"

#include <grpcpp/server_builder.h>
#include <stdlib.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "client/lib/exit_code.h"
#include "client/lib/nonce.h"

namespace yoke::client {
namespace {

using grpc::ServerContext;
using grpc::Status;

constexpr auto kPollEvery = std::chrono::milliseconds(5);

class Jobs final : public v1::JobService::Service {
 public:
  explicit Jobs(World& world) : world_(world) {}

  Status CreateJob(ServerContext*, const v1::CreateJobRequest* request, v1::Job* job) override {
    MutexLock lock(world_.mutex);
    world_.creates.push_back(*request);
    *job->mutable_spec() = request->spec();
    job->set_display_name(request->display_name());
    if (request->validate_only()) {
      job->add_banner("Devices: CPU slot 0");
      job->add_warnings("imgsz=70 is rounded up to 96");
      return world_.check;
    }
    job->set_name("jobs/" + request->request_id().substr(0, 8));
    job->set_state(v1::Job::SUCCEEDED);
    job->set_run_dir("/run-folder-of-" + job->name());
    if (request->display_name() == "fails") job->set_state(v1::Job::FAILED);
    world_.jobs[job->name()] = *job;
    if (world_.lost_answers-- > 0) return Status(grpc::UNAVAILABLE, "Socket closed");
    return Status::OK;
  }

  Status GetJob(ServerContext*, const v1::GetJobRequest* request, v1::Job* job) override { return Find(request->name(), job); }

  Status ListJobs(ServerContext*, const v1::ListJobsRequest* request, v1::ListJobsResponse* response) override {
    MutexLock lock(world_.mutex);
    // One job a page: a client has to turn them.
    auto next = request->page_token().empty() ? world_.jobs.begin() : world_.jobs.find(request->page_token());
    if (next == world_.jobs.end()) return Status::OK;
    *response->add_jobs() = next->second;
    if (++next != world_.jobs.end()) response->set_next_page_token(next->first);
    return Status::OK;
  }

  Status CancelJob(ServerContext*, const v1::CancelJobRequest* request, v1::Job* job) override {
    const Status found = Find(request->name(), job);
    if (!found.ok()) return found;
    if (HasEnded(job->state())) return Status(grpc::FAILED_PRECONDITION, "the job has ended already");
    job->set_state(v1::Job::STOPPING);
    return Status::OK;
  }

  Status WaitJob(ServerContext* context, const v1::WaitJobRequest* request, v1::Job* job) override {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(request->timeout().seconds()) +
                          std::chrono::nanoseconds(request->timeout().nanos());
    while (!context->IsCancelled()) {
      const Status found = Find(request->name(), job);
      if (!found.ok() || HasEnded(job->state())) return found;
      if (std::chrono::steady_clock::now() > deadline) return Status(grpc::DEADLINE_EXCEEDED, "still running");
      std::this_thread::sleep_for(kPollEvery);
    }
    return Status(grpc::UNAVAILABLE, "stopping");
  }

 private:
  Status Find(const std::string& name, v1::Job* job) {
    MutexLock lock(world_.mutex);
    const auto found = world_.jobs.find(name);
    if (found == world_.jobs.end()) return Status(grpc::NOT_FOUND, "no job " + name);
    *job = found->second;
    return Status::OK;
  }

  World& world_;
};

class Streams final : public v1::StreamService::Service {
 public:
  explicit Streams(World& world) : world_(world) {}

  // The token is the number of bytes sent.
  Status TailLogs(ServerContext* context, const v1::TailLogsRequest* request, grpc::ServerWriter<v1::TailLogsResponse>* writer) override {
    size_t at = request->resume_token().empty() ? 0 : std::stoul(request->resume_token());
    {
      MutexLock lock(world_.mutex);
      ++world_.streams_opened;
      world_.tokens_seen.push_back(request->resume_token());
      if (world_.jobs.count(request->name()) == 0) return Status(grpc::NOT_FOUND, "no job " + request->name());
    }
    for (int frames = 0; !context->IsCancelled();) {
      v1::TailLogsResponse frame;
      bool ended = false;
      {
        MutexLock lock(world_.mutex);
        if (!world_.silent) {
          if (world_.cut_after > 0 && frames == world_.cut_after) return Status(world_.cut_code, "cut");
          const std::string data = world_.log.substr(at, world_.frame_bytes);
          const v1::Job& job = world_.jobs[request->name()];
          ended = data.empty() && (HasEnded(job.state()) || !request->follow());
          if (ended) frame.mutable_end()->set_state(job.state());
          if (!data.empty()) frame.mutable_chunk()->set_data(data);
          at += data.size();
          frame.set_resume_token(std::to_string(at));
        }
      }
      if (!frame.has_chunk() && !frame.has_end()) {
        std::this_thread::sleep_for(kPollEvery);
        continue;
      }
      ++frames;
      writer->Write(frame);
      if (frames % 3 == 0) {
        v1::TailLogsResponse bookmark;
        bookmark.mutable_bookmark();
        bookmark.set_resume_token(std::to_string(at));
        writer->Write(bookmark);
      }
      if (ended) return Status::OK;
    }
    return Status(grpc::UNAVAILABLE, "stopping");
  }

  Status TailMetrics(ServerContext*, const v1::TailMetricsRequest* request, grpc::ServerWriter<v1::TailMetricsResponse>* writer) override {
    v1::TailMetricsResponse frame;
    frame.mutable_event()->set_type("epoch");
    auto& fields = *frame.mutable_event()->mutable_fields()->mutable_fields();
    fields["epoch"].set_number_value(1);
    fields["epochs"].set_number_value(2);
    writer->Write(frame);
    v1::TailMetricsResponse end;
    end.mutable_end()->set_state(v1::Job::SUCCEEDED);
    writer->Write(end);
    return Status::OK;
  }

 private:
  World& world_;
};

class Devices final : public v1::DeviceService::Service {
  Status ListDevices(ServerContext*, const v1::ListDevicesRequest*, v1::ListDevicesResponse* response) override {
    response->add_devices()->set_uuid("cpu:0");
    response->add_choices()->set_label("CPU");
    return Status::OK;
  }
};

class System final : public v1::SystemService::Service {
 public:
  explicit System(World& world) : world_(world) {}

  Status GetServerInfo(ServerContext*, const v1::GetServerInfoRequest* request, v1::GetServerInfoResponse* response) override {
    std::ifstream file(request->probe_path());
    std::stringstream text;
    if (file.good()) {
      text << file.rdbuf();
      response->set_probe_sha256(Sha256Hex(text.str()));
    }
    return Status::OK;
  }

  Status CheckSystem(ServerContext*, const v1::CheckSystemRequest*, v1::CheckSystemResponse* response) override {
    auto& disk = *response->add_items();
    disk.set_name("disk");
    MutexLock lock(world_.mutex);
    disk.set_verdict(world_.check.ok() ? v1::CheckSystemResponse::Item::OK : v1::CheckSystemResponse::Item::FAILED);
    return Status::OK;
  }

 private:
  World& world_;
};

}  // namespace

struct FakeDaemon::Services {
  explicit Services(World& world) : jobs(world), streams(world), system(world) {}
  Jobs jobs;
  Streams streams;
  Devices devices;
  System system;
};

FakeDaemon::FakeDaemon() : services_(std::make_unique<Services>(world_)) {
  std::string pattern = (std::filesystem::temp_directory_path() / "yoke-fake.XXXXXX").string();
  dir_ = mkdtemp(pattern.data());
  socket_ = (dir_ / "s").string();
}

FakeDaemon::~FakeDaemon() {
  Stop();
  std::filesystem::remove_all(dir_);
}

void FakeDaemon::Start() {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket_, grpc::InsecureServerCredentials());
  builder.RegisterService(&services_->jobs);
  builder.RegisterService(&services_->streams);
  builder.RegisterService(&services_->devices);
  builder.RegisterService(&services_->system);
  server_ = builder.BuildAndStart();
}

void FakeDaemon::Stop() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
}

void FakeDaemon::AddJob(const v1::Job& job) {
  MutexLock lock(world_.mutex);
  world_.jobs[job.name()] = job;
}

}  // namespace yoke::client
