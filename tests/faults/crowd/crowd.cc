// yoke-crowd: many clients in one process, for tests that need hundreds of calls and followers a
// second. Reads commands from stdin, one JSON object a line, runs each in a thread of its own and
// answers on stdout, one object a line, as {"id": ID, "ok": true, ...} or {"id": ID, "ok": false,
// "code": NAME, "message": TEXT}:
//   {"id": 1, "do": "create", "data": "/sets/short.yaml", "device": "cpu:0", "request_id": UUID,
//   "once": true, "check": true}
//   {"do": "get", "name": JOB}   {"do": "list", "filter": F}   {"do": "devices"}   {"do": "wait",
//   "name": JOB, "seconds": 20}
//   {"do": "cancel", "name": JOB, "grace": 1}
//   {"do": "logs", "name": JOB, "folder": DIR}      follows to the end; appends to
//   DIR/ATTEMPT.RANK.log
//   {"do": "metrics", "name": JOB, "folder": DIR}   appends "ATTEMPT RANK SEQ" lines to DIR/events
//   {"do": "stall", "name": JOB, "seconds": 5}      a follower that takes one frame and then
//   nothing
// Calls go through client/lib, as the command line's do. "once": no repetition by the library;
// "check": validate only.
//   usage: yoke-crowd unix:///SOCKET
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/lib/client.h"
#include "client/lib/server_address.h"
#include "common/base/mutex.h"
#include "google/protobuf/util/json_util.h"
#include "grpcpp/create_channel.h"
#include "nlohmann/json.hpp"
#include "yoke/v1/job.grpc.pb.h"

namespace yoke::crowd {
namespace {

using nlohmann::json;

json ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return nullptr;
  return json::parse(text, nullptr, false);
}

json Failure(const absl::Status& status) {
  return {{"ok", false},
          {"code", absl::StatusCodeToString(status.code())},
          {"message", std::string(status.message())}};
}

json JobAnswer(const absl::StatusOr<v1::Job>& job) {
  return job.ok() ? json{{"ok", true}, {"job", ToJson(*job)}} : Failure(job.status());
}

class Crowd {
 public:
  explicit Crowd(client::ServerAddress server)
      : server_(std::move(server)), shared_(MakeClient()) {}

  void Run() {
    std::string line;
    while (std::getline(std::cin, line)) {
      json command = json::parse(line, nullptr, false);
      if (!command.is_object()) continue;
      ++running_;
      std::thread([this, command = std::move(command)] {
        json answer;
        try {
          answer = Carry(command);
        } catch (const json::exception& error) {
          answer = Failure(absl::InvalidArgumentError(error.what()));
        }
        answer["id"] = command.value("id", 0);
        Say(answer);
        --running_;
      }).detach();
    }
    while (running_ > 0) absl::SleepFor(absl::Milliseconds(10));
  }

 private:
  std::unique_ptr<client::Client> MakeClient() const {
    client::ClientOptions options;
    options.server = server_;
    options.connect_timeout = absl::Seconds(10);
    options.patience = absl::Minutes(2);
    return client::Client::Make(options);
  }

  void Say(const json& answer) {
    const std::string text = answer.dump(-1, ' ', false, json::error_handler_t::replace);
    MutexLock lock(out_);
    std::puts(text.c_str());
    std::fflush(stdout);
  }

  json Carry(const json& command) {
    const std::string what = command.at("do"), name = command.value("name", "");
    if (what == "create") return Create(command);
    if (what == "get") return JobAnswer(shared_->GetJob(name));
    if (what == "wait")
      return JobAnswer(shared_->WaitJob(name, absl::Seconds(command.at("seconds").get<double>())));
    if (what == "cancel")
      return JobAnswer(shared_->CancelJob(name, absl::Seconds(command.value("grace", 10.0)), ""));
    if (what == "list") {
      const auto jobs = shared_->ListJobs(command.value("filter", ""), 0);
      return jobs.ok() ? json{{"ok", true}, {"jobs", ToJson(*jobs).value("jobs", json::array())}}
                       : Failure(jobs.status());
    }
    if (what == "devices") {
      const auto devices = shared_->ListDevices();
      return devices.ok() ? json{{"ok", true}, {"devices", ToJson(*devices)["devices"]}}
                          : Failure(devices.status());
    }
    if (what == "logs") return Logs(name, command.at("folder"));
    if (what == "metrics") return Metrics(name, command.at("folder"));
    if (what == "stall") return Stall(name, absl::Seconds(command.at("seconds").get<double>()));
    return Failure(absl::InvalidArgumentError(absl::StrCat("what is '", what, "'?")));
  }

  json Create(const json& command) {
    v1::CreateJobRequest request;
    request.mutable_spec()->mutable_train()->set_data(command.at("data").get<std::string>());
    request.mutable_spec()->set_device(command.at("device").get<std::string>());
    request.set_request_id(command.at("request_id").get<std::string>());
    request.set_display_name(command.value("display_name", ""));
    request.set_validate_only(command.value("check", false));
    if (!command.value("once", false)) return JobAnswer(shared_->CreateJob(request));
    const auto stub = v1::JobService::NewStub(
        grpc::CreateChannel(server_.target, grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(10)));
    v1::Job job;
    const grpc::Status status = stub->CreateJob(&context, request, &job);
    if (status.ok()) return JobAnswer(job);
    return Failure(
        absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message()));
  }

  // The library goes on with a stream once it was connected; while no daemon is there to connect to, it
  // is asked again.
  static absl::Status Persist(const std::function<absl::Status(bool& begun)>& read) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (true) {
      bool begun = false;
      const absl::Status status = read(begun);
      if (begun || !absl::IsUnavailable(status) || absl::Now() > deadline) return status;
      absl::SleepFor(absl::Milliseconds(50));
    }
  }

  // Each follower has a connection of its own, as people's terminals have.
  json Logs(const std::string& name, const std::filesystem::path& folder) {
    std::map<std::string, std::ofstream> files;
    int64_t gaps = 0, bytes = 0;
    v1::TailLogsRequest request;
    request.set_name(name);
    request.set_follow(true);
    const absl::Status status = Persist([&](bool& begun) {
      return MakeClient()->TailLogs(request, [&](const v1::TailLogsResponse& frame) {
        begun = true;
        if (frame.has_gap()) ++gaps;
        if (!frame.has_chunk()) return client::Next::kContinue;
        const std::string file =
            absl::StrCat(frame.chunk().attempt(), ".", frame.chunk().rank(), ".log");
        auto [found, fresh] = files.try_emplace(file);
        if (fresh) found->second.open(folder / file, std::ios::binary | std::ios::app);
        found->second << frame.chunk().data() << std::flush;
        bytes += static_cast<int64_t>(frame.chunk().data().size());
        return client::Next::kContinue;
      });
    });
    if (!status.ok()) return Failure(status);
    return {{"ok", true}, {"gaps", gaps}, {"bytes", bytes}};
  }

  json Metrics(const std::string& name, const std::filesystem::path& folder) {
    std::ofstream file(folder / "events", std::ios::app);
    int64_t events = 0;
    v1::TailMetricsRequest request;
    request.set_name(name);
    request.set_follow(true);
    const absl::Status status = Persist([&](bool& begun) {
      return MakeClient()->TailMetrics(request, [&](const v1::TailMetricsResponse& frame) {
        begun = true;
        if (!frame.has_event()) return client::Next::kContinue;
        file << frame.event().attempt() << " " << frame.event().rank() << " " << frame.event().seq()
             << "\n";
        ++events;
        return client::Next::kContinue;
      });
    });
    if (!status.ok()) return Failure(status);
    return {{"ok", true}, {"events", events}};
  }

  json Stall(const std::string& name, absl::Duration time) {
    v1::TailLogsRequest request;
    request.set_name(name);
    request.set_follow(true);
    const absl::Status status = MakeClient()->TailLogs(request, [&](const v1::TailLogsResponse&) {
      absl::SleepFor(time);
      return client::Next::kStop;
    });
    return status.ok() ? json{{"ok", true}} : Failure(status);
  }

  const client::ServerAddress server_;
  const std::unique_ptr<client::Client> shared_;
  Mutex out_;
  std::atomic<int> running_ = 0;
};

int Main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: yoke-crowd unix:///SOCKET\n");
    return 2;
  }
  auto server = client::FindServer(argv[1], client::ProcessEnvironment, false);
  if (!server.ok()) {
    std::fprintf(stderr, "yoke-crowd: %s\n", std::string(server.status().message()).c_str());
    return 2;
  }
  Crowd(std::move(*server)).Run();
  return 0;
}

}  // namespace
}  // namespace yoke::crowd

int main(int argc, char** argv) { return yoke::crowd::Main(argc, argv); }
