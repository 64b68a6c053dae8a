#include "client/lib/server_address.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"

namespace yoke::client {
namespace {

// sockaddr_un.sun_path, with its final zero.
constexpr size_t kSocketPathMax = 107;

absl::StatusOr<ServerAddress> UnixSocket(const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError("the server's address names no socket; write unix:///path");
  if (path.size() > kSocketPathMax) {
    return absl::InvalidArgumentError(absl::StrCat("the socket's path has ", path.size(), " characters; the system allows ",
                                                   kSocketPathMax, ": ", path));
  }
  ServerAddress address;
  address.target = absl::StrCat("unix:", path);
  address.display = absl::StrCat(path[0] == '/' ? "unix://" : "unix:", path);
  address.is_unix = true;
  return address;
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    return absl::NotFoundError(absl::StrCat("YOKE_TOKEN_FILE ", path, ": ", std::strerror(errno)));
  }
  if ((info.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("YOKE_TOKEN_FILE ", path, " can be read by others; do: chmod 600 ", path));
  }
  std::ifstream file(path);
  std::string token;
  std::getline(file, token);
  token = std::string(absl::StripAsciiWhitespace(token));
  if (token.empty()) return absl::InvalidArgumentError(absl::StrCat("YOKE_TOKEN_FILE ", path, " holds no token"));
  return token;
}

absl::StatusOr<ServerAddress> LoopbackTcp(const std::string& text, const Environment& environment) {
  const size_t colon = text.rfind(':');
  const std::string host = text.substr(0, colon);
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(text.substr(colon + 1), &port) || port < 1 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no server address; write unix:///path or 127.0.0.1:PORT"));
  }
  if (host != "localhost" && host != "[::1]" && !absl::StartsWith(host, "127.")) {
    return absl::InvalidArgumentError(absl::StrCat("'", host, "' is not this machine; a server elsewhere is reached by forwarding its "
                                                   "socket: ssh -L /path/of/socket:/run/yoke/yoke.sock ", host));
  }
  const std::string file = environment("YOKE_TOKEN_FILE");
  if (file.empty()) {
    return absl::PermissionDeniedError(absl::StrCat("a server at ", text, " wants a token; name its file in YOKE_TOKEN_FILE "
                                                    "(yoked writes it to its state folder)"));
  }
  ServerAddress address;
  YOKE_ASSIGN_OR_RETURN(address.token, ReadToken(file));
  address.target = text;
  address.display = text;
  return address;
}

}  // namespace

std::string ProcessEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

std::string DefaultSocketPath(const Environment& environment, bool root) {
  if (root) return "/run/yoke/yoke.sock";
  const std::string runtime = environment("XDG_RUNTIME_DIR");
  return absl::StrCat(runtime.empty() ? absl::StrCat("/run/user/", geteuid()) : runtime, "/yoke.sock");
}

absl::StatusOr<ServerAddress> FindServer(const std::string& flag, const Environment& environment, bool root) {
  std::string text = flag.empty() ? environment("YOKE_SERVER") : flag;
  if (text.empty()) return UnixSocket(DefaultSocketPath(environment, root));
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "unix://") || absl::ConsumePrefix(&rest, "unix:")) return UnixSocket(std::string(rest));
  if (absl::StrContains(rest, "://")) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no server address; write unix:///path or 127.0.0.1:PORT"));
  }
  return LoopbackTcp(text, environment);
}

}  // namespace yoke::client
