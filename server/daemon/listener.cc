#include "server/daemon/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/os/file.h"
#include "spdlog/spdlog.h"

namespace yoke::daemon {
namespace {

constexpr int kBacklog = 1024;
constexpr int kShortOfDescriptorsMs = 100;

absl::Status Taken(const std::string& where) {
  return absl::UnavailableError(absl::StrCat("cannot serve on ", where, ": ", std::strerror(errno),
                                             ". Is the address taken, or not allowed?"));
}

// The first descriptor that no connection gets.
int ConnectionsEnd() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > 1'000'000'000) return 1'000'000'000;
  const int all = static_cast<int>(limit.rlim_cur);
  return all - std::min(Listener::kKept, all / 4);
}

bool IsShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

os::UniqueFd OpenReserve() { return os::UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

Listener::Listener() : stop_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), reserve_(OpenReserve()) {}

Listener::~Listener() {
  Stop();
  struct stat info;
  if (!socket_.empty() && lstat(socket_.c_str(), &info) == 0 && info.st_ino == socket_inode_)
    unlink(socket_.c_str());
}

absl::Status Listener::ListenOnSocket(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return absl::InvalidArgumentError(absl::StrCat("the socket's path '", path, "' is too long"));
  std::memcpy(address.sun_path, path.data(), path.size());
  os::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return Taken(path);
  const mode_t before = umask(0177);  // everybody else is kept out
  const int bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  umask(before);
  if (bound != 0 || listen(fd.get(), kBacklog) != 0) return Taken(path);
  struct stat info = {};
  if (lstat(path.c_str(), &info) == 0) socket_inode_ = info.st_ino;
  socket_ = path;
  listening_.push_back(std::move(fd));
  return absl::OkStatus();
}

absl::StatusOr<int> Listener::ListenOnPort(const std::string& address) {
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error =
          getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found);
      error != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot serve on ", address, ": ", gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, freeaddrinfo);
  os::UniqueFd fd(socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (!fd.valid() || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
      bind(fd.get(), found->ai_addr, found->ai_addrlen) != 0 || listen(fd.get(), kBacklog) != 0) {
    return Taken(address);
  }
  sockaddr_storage bound = {};
  socklen_t length = sizeof bound;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &length) != 0)
    return Taken(address);
  listening_.push_back(std::move(fd));
  const auto port = bound.ss_family == AF_INET6
                        ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                        : reinterpret_cast<const sockaddr_in&>(bound).sin_port;
  return ntohs(port);
}

void Listener::Start(std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor) {
  acceptor_ = std::move(acceptor);
  thread_ = std::thread([this] { Run(); });
}

void Listener::Stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t count = write(stop_.get(), &one, sizeof one);
  thread_.join();
  listening_.clear();
}

void Listener::Run() {
  std::vector<pollfd> fds = {{stop_.get(), POLLIN, 0}};
  for (const os::UniqueFd& fd : listening_) fds.push_back({fd.get(), POLLIN, 0});
  while (true) {
    if (poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return;
    if ((fds[0].revents & POLLIN) != 0) return;
    for (size_t i = 1; i < fds.size(); ++i) {
      if ((fds[i].revents & POLLIN) != 0) Accept(fds[i].fd);
    }
  }
}

void Listener::Accept(int listening) {
  os::UniqueFd fd(accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd.valid()) {
    if (IsShortage(errno)) Refuse(listening);
    return;
  }
  if (fd.get() >= ConnectionsEnd()) return;  // closed: the client tries again later
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
  connection.listener_fd = listening;
  connection.fd = fd.Release();
  acceptor_->HandleNewConnection(&connection);
}

// Without a descriptor nothing can even be refused: the one in reserve is lent for it.
void Listener::Refuse(int listening) {
  spdlog::warn(
      "no descriptor for another connection; it is refused. `ulimit -n` (LimitNOFILE) sets how "
      "many there are");
  reserve_.Reset();
  os::UniqueFd(accept4(listening, nullptr, nullptr, SOCK_CLOEXEC)).Reset();
  reserve_ = OpenReserve();
  poll(nullptr, 0, kShortOfDescriptorsMs);
}

}  // namespace yoke::daemon
