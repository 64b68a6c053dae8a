// What the four services share: the parts of the daemon they adapt, who may call, when to wake,
// when to stop.
#pragma once

#include <atomic>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/server_context.h"
#include "server/jobs/job_store.h"
#include "server/service/authorizer.h"
#include "server/service/bell.h"
#include "server/service/services.h"

namespace yoke::service {

// A client learns at least so often that a silent stream lives (the API promises 10 s).
inline constexpr absl::Duration kBookmarkInterval = absl::Seconds(9);
// How long a serving thread sleeps at most before it looks whether its client is still there.
inline constexpr absl::Duration kLookInterval = absl::Milliseconds(500);
// Streams and waits at once; each has a thread.
inline constexpr int kFollowersMax = 500;

// Thread-safe.
class Shared {
 public:
  explicit Shared(const ServiceDeps& deps) : deps_(deps) {}

  jobs::JobStore& store() const { return *deps_.store; }
  jobs::JobControl& control() const { return *deps_.control; }
  devices::DeviceInventory& inventory() const { return *deps_.inventory; }
  const ServerFacts& facts() const { return deps_.facts; }
  Bell& jobs_bell() { return jobs_bell_; }
  Bell& devices_bell() { return devices_bell_; }

  // Who calls, if they may use `rpc` ("yoke.v1.JobService/GetJob") at all.
  absl::StatusOr<Caller> Admit(const grpc::ServerContextBase& context, const std::string& rpc);
  // Whether jobs of `owner` exist for `caller`.
  bool MaySee(const std::string& rpc, const Caller& caller, const std::string& owner);
  // The job of a name, id or unique prefix. InvalidArgument; NotFound also for another user's.
  absl::StatusOr<jobs::JobRecord> FindJob(const std::string& rpc, const Caller& caller,
                                          const std::string& name);

  void BeginShutdown();
  bool stopping() const { return stopping_; }
  // OK while a stream or a wait may go on: ShuttingDown(), or Cancelled once the client went away.
  absl::Status MayGoOn(const grpc::ServerContextBase& context) const;

 private:
  friend class Follower;

  const ServiceDeps deps_;
  Bell jobs_bell_, devices_bell_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> followers_ = 0;
};

// One of the places for streams and waits; given back at the end of its scope.
class Follower {
 public:
  explicit Follower(Shared& shared) : shared_(shared), number_(++shared.followers_) {}
  ~Follower() { --shared_.followers_; }
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  // ShuttingDown(), or ResourceExhausted when all places are taken.
  absl::Status status() const;

 private:
  Shared& shared_;
  const int number_;
};

}  // namespace yoke::service
