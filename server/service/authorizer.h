// Who is calling, and may they do that. Every RPC asks; a server for many users replaces the
// implementation.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace grpc {
class ServerContextBase;
}

namespace yoke::service {

struct Caller {
  std::string user;    // owner of what the caller submits
  bool local = false;  // came over the unix socket
};

// Thread-safe.
class Authorizer {
 public:
  virtual ~Authorizer() = default;
  // Unauthenticated, with what to send.
  virtual absl::StatusOr<Caller> Identify(const grpc::ServerContextBase& context) = 0;
  // `rpc`: "yoke.v1.JobService/GetJob". `owner`: of the job in question, empty if there is none.
  // NotFound for another user's job (its existence is not told), PermissionDenied for an RPC the
  // caller may not use.
  virtual absl::Status Authorize(const std::string& rpc, const Caller& caller,
                                 const std::string& owner) = 0;
};

struct AuthorizerOptions {
  // Whom callers of the unix socket are taken for: gRPC does not show the peer's uid, and the
  // socket's own permissions let in only the daemon's user. Empty: the name of the daemon's uid.
  std::string local_user;
  // What callers over TCP must send as "authorization: Bearer TOKEN"; they count as local_user too.
  // Empty: nobody is let in over TCP.
  std::string token;
};
std::unique_ptr<Authorizer> MakeAuthorizer(const AuthorizerOptions& options);

// Reads the token of `path`, or makes a random one and stores it there with mode 0600.
// PermissionDenied if others may read the file.
absl::StatusOr<std::string> LoadOrCreateToken(const std::string& path);

// The name of this process' user: "ann", or "uid 1000" where it has none.
std::string ProcessUser();

}  // namespace yoke::service
