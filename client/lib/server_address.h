// Where the daemon is: --server, else YOKE_SERVER, else the local socket that yoked opens by default.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"

namespace yoke::client {

struct ServerAddress {
  std::string target;   // as gRPC takes it: "unix:/run/yoke/yoke.sock", "127.0.0.1:5050"
  std::string display;  // as people write it: "unix:///run/yoke/yoke.sock"
  std::string token;    // sent as "authorization: Bearer TOKEN"; empty on a unix socket
  bool is_unix = false;
};

// Reads an environment variable; empty when it is unset.
using Environment = std::function<std::string(const std::string&)>;
std::string ProcessEnvironment(const std::string& name);

// $XDG_RUNTIME_DIR/yoke.sock, as root /run/yoke/yoke.sock.
std::string DefaultSocketPath(const Environment& environment, bool root);

// Forms: unix:///path, unix:path, host:port on loopback with the token in the file YOKE_TOKEN_FILE.
// `flag` wins over YOKE_SERVER; both empty: the default socket. InvalidArgument for another form or a
// host that is not loopback; NotFound or PermissionDenied for the token file.
absl::StatusOr<ServerAddress> FindServer(const std::string& flag, const Environment& environment, bool root);

}  // namespace yoke::client
