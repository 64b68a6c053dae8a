// Accepts the clients' connections and hands them to gRPC. gRPC's own listener never accepts again
// once it found no descriptor for a connection; this one closes what it cannot serve, and keeps
// some descriptors for the jobs.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/unique_fd.h"
#include "grpcpp/server_builder.h"

namespace yoke::daemon {

// Not thread-safe.
class Listener {
 public:
  // Descriptors that connections do not get: for ranks to be started, files to be read (fewer under
  // a small limit).
  static constexpr int kKept = 128;

  Listener();
  // Stops, and removes the socket if it is still its own.
  ~Listener();

  // A unix socket of mode 0600, which must not be there yet. Unavailable.
  absl::Status ListenOnSocket(const std::string& path);
  // HOST:PORT; port 0: any free one. Returns the port. Unavailable.
  absl::StatusOr<int> ListenOnPort(const std::string& address);

  // REQUIRES: the server of `acceptor` was started.
  void Start(std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor);
  void Stop();

 private:
  void Run();
  void Accept(int listening);
  void Refuse(int listening);

  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::vector<os::UniqueFd> listening_;
  os::UniqueFd stop_, reserve_;
  std::string socket_;
  unsigned long socket_inode_ = 0;
  std::thread thread_;
};

}  // namespace yoke::daemon
