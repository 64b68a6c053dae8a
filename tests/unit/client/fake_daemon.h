// A server in this process that answers as yoked would, from jobs and logs that a test puts into it, and that
// breaks off when told to.
#pragma once

#include <grpcpp/server.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "yoke/v1/device.grpc.pb.h"
#include "yoke/v1/job.grpc.pb.h"
#include "yoke/v1/stream.grpc.pb.h"
#include "yoke/v1/system.grpc.pb.h"

namespace yoke::client {

// What the server has; survives its restarts. Guarded by `mutex`.
struct World {
  Mutex mutex;
  std::map<std::string, v1::Job> jobs YOKE_GUARDED_BY(mutex);
  std::vector<v1::CreateJobRequest> creates YOKE_GUARDED_BY(mutex);
  // CreateJob answers so often Unavailable, after it stored the job.
  int lost_answers YOKE_GUARDED_BY(mutex) = 0;
  // The log of rank 0, sent in frames of `frame_bytes`.
  std::string log YOKE_GUARDED_BY(mutex);
  size_t frame_bytes YOKE_GUARDED_BY(mutex) = 5;
  // A stream is cut after so many frames; 0: never.
  int cut_after YOKE_GUARDED_BY(mutex) = 0;
  // How it is cut.
  grpc::StatusCode cut_code YOKE_GUARDED_BY(mutex) = grpc::UNAVAILABLE;
  // Streams say nothing at all and stay open.
  bool silent YOKE_GUARDED_BY(mutex) = false;
  int streams_opened YOKE_GUARDED_BY(mutex) = 0;
  // The answer to validate_only; OK: the job itself.
  grpc::Status check YOKE_GUARDED_BY(mutex);
  std::vector<std::string> tokens_seen YOKE_GUARDED_BY(mutex);
};

class FakeDaemon {
 public:
  FakeDaemon();
  ~FakeDaemon();

  void Start();
  // Breaks every call off.
  void Stop();

  std::string address() const { return "unix://" + socket_; }
  World& world() { return world_; }
  void AddJob(const v1::Job& job);

 private:
  struct Services;

  World world_;
  std::filesystem::path dir_;
  std::string socket_;
  std::unique_ptr<Services> services_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace yoke::client
