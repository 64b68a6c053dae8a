// Everything a program may ask of yoked, with the tedious parts done: connecting, deadlines, blind retry
// of submissions, streams that go on after the daemon was restarted. The command line is its first user.
//
//   auto client = Client::Make({.server = address});
//   absl::StatusOr<v1::Job> job = client->GetJob("jobs/abc");
//
// Thread-safe. Errors are those of call_error.h; Unavailable names the server and how to start one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/lib/server_address.h"
#include "yoke/v1/device.pb.h"
#include "yoke/v1/job.pb.h"
#include "yoke/v1/stream.pb.h"
#include "yoke/v1/system.pb.h"

namespace yoke::client {

struct ClientOptions {
  ServerAddress server;
  absl::Duration connect_timeout = absl::Seconds(5);
  // How long waits and streams that had begun try to reach a server that went away.
  absl::Duration patience = absl::Minutes(15);
  // A stream that is silent for this long is cut and resumed; servers send a bookmark every 10 s.
  absl::Duration silence = absl::Seconds(35);
  // Told, once per outage, that the server went away and is looked for, and that it is back.
  std::function<void(const std::string&)> notice = [](const std::string&) {};
};

// What a reader of a stream wants after a frame.
enum class Next { kContinue, kStop };

class Client {
 public:
  static std::unique_ptr<Client> Make(ClientOptions options);
  virtual ~Client() = default;

  // Fills in request_id where it is empty and repeats the call, with that id, when the connection breaks.
  virtual absl::StatusOr<v1::Job> CreateJob(v1::CreateJobRequest request) = 0;
  // The same for all of them at once: all jobs are accepted or none.
  virtual absl::StatusOr<v1::BatchCreateJobsResponse> BatchCreateJobs(v1::BatchCreateJobsRequest request) = 0;
  // `id`: a job's name, its id or a unique prefix of it.
  virtual absl::StatusOr<v1::Job> GetJob(const std::string& id) = 0;
  // All pages, at most `limit` jobs (0: all).
  virtual absl::StatusOr<v1::ListJobsResponse> ListJobs(const std::string& filter, int limit) = 0;
  virtual absl::StatusOr<v1::Job> CancelJob(const std::string& id, absl::Duration grace, const std::string& comment) = 0;
  virtual absl::StatusOr<v1::Job> HoldJob(const std::string& id) = 0;
  virtual absl::StatusOr<v1::Job> ReleaseJob(const std::string& id) = 0;
  // `grace` below 0: the server's default.
  virtual absl::StatusOr<v1::Job> RequeueJob(const std::string& id, absl::Duration grace) = 0;
  virtual absl::StatusOr<v1::Job> UpdateJob(const v1::UpdateJobRequest& request) = 0;
  virtual absl::StatusOr<v1::ExplainJobResponse> ExplainJob(const std::string& id) = 0;
  // The first `limit` waiting jobs.
  virtual absl::StatusOr<v1::ListQueueResponse> ListQueue(int limit) = 0;
  // The ended job. DeadlineExceeded after `timeout`. Survives restarts of the server.
  virtual absl::StatusOr<v1::Job> WaitJob(const std::string& id, absl::Duration timeout) = 0;

  virtual absl::StatusOr<v1::ListDevicesResponse> ListDevices() = 0;
  // `device`: one index, "cpu:0", or the beginning of a UUID.
  virtual absl::StatusOr<v1::Device> DrainDevice(const std::string& device, const std::string& reason) = 0;
  virtual absl::StatusOr<v1::Device> ResumeDevice(const std::string& device) = 0;
  virtual absl::StatusOr<v1::CheckSystemResponse> CheckSystem() = 0;
  // `path`: absolute, on the server's machine.
  virtual absl::StatusOr<v1::CreateBackupResponse> CreateBackup(const std::string& path) = 0;
  virtual absl::StatusOr<v1::GetServerInfoResponse> GetServerInfo(const std::string& probe_path) = 0;
  // Whether server and client see the same files: a unix socket, and a nonce file that the server can read.
  virtual absl::StatusOr<bool> SharesFiles() = 0;

  // Streams: `on_frame` sees every frame once and in order, also across restarts of the server; bookmarks
  // are left out. OK after End, after kStop, or (without `follow`) when the server has said all.
  virtual absl::Status TailLogs(v1::TailLogsRequest request,
                                const std::function<Next(const v1::TailLogsResponse&)>& on_frame) = 0;
  virtual absl::Status TailMetrics(v1::TailMetricsRequest request,
                                   const std::function<Next(const v1::TailMetricsResponse&)>& on_frame) = 0;
  virtual absl::Status WatchJobs(v1::WatchJobsRequest request,
                                 const std::function<Next(const v1::WatchJobsResponse&)>& on_frame) = 0;
  virtual absl::Status WatchDevices(const std::function<Next(const v1::WatchDevicesResponse&)>& on_frame) = 0;

  // Ends every call of this client, running and future, with Cancelled. From any thread.
  virtual void Interrupt() = 0;
};

// "abc" and "jobs/abc" -> "jobs/abc".
std::string JobName(const std::string& id);
// "jobs/abc" -> "abc".
std::string JobId(const std::string& name);

}  // namespace yoke::client
