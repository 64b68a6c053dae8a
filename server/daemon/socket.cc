#include "server/daemon/socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/os/file.h"
#include "common/os/unique_fd.h"

namespace yoke::daemon {
namespace {

sockaddr_un UnixAddress(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

bool SomebodyAnswers(const std::string& path) {
  const os::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = UnixAddress(path);
  return fd.valid() && connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

absl::Status PrepareSocket(const std::string& path) {
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("the socket's path '", path, "' must have 1 to ", sizeof(sockaddr_un::sun_path) - 1,
                                                   " characters; choose another with --socket"));
  }
  YOKE_RETURN_IF_ERROR(os::MakeDirs(os::FolderOf(path), 0700));
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " exists and is no socket; it was left alone. Choose another with --socket"));
  }
  if (SomebodyAnswers(path)) {
    return absl::FailedPreconditionError(absl::StrCat("another program answers on ", path, ". Stop it first, or choose another socket with --socket"));
  }
  return os::RemoveFile(path);
}

absl::Status CheckLoopback(const std::string& address) {
  const size_t colon = address.rfind(':');
  const std::string host = address.substr(0, colon);
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("listen: '", address, "' is not HOST:PORT, e.g. 127.0.0.1:7411"));
  }
  if (host == "localhost" || host == "[::1]" || absl::StartsWith(host, "127.")) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("listen: ", host, " can be reached from other machines; only 127.0.0.1, [::1] and localhost are "
                                                 "served. From elsewhere, forward the socket through ssh"));
}

void NotifyServiceManager(const std::string& message) {
  const char* name = std::getenv("NOTIFY_SOCKET");
  if (name == nullptr || name[0] == '\0' || std::strlen(name) >= sizeof(sockaddr_un::sun_path)) return;
  sockaddr_un address = UnixAddress(name);
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // abstract
  const os::UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const socklen_t length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(name));
  sendto(fd.get(), message.data(), message.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), length);
}

}  // namespace yoke::daemon
