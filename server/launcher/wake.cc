#include "server/launcher/wake.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include "common/ipc/attempt_files.h"
#include "common/os/file.h"

namespace yoke::launcher {
namespace {

// Of all that happens in an attempt's folder: that a shim has claimed it, that the ranks were
// started, and what rank 0 reports. How it ended is read once the shim's end is seen.
bool Matters(std::string_view name, uint32_t mask) {
  if (name == ipc::RankLogName(0)) return (mask & IN_CREATE) != 0;
  return name == "started" || name == ipc::RankEventsName(0);
}

}  // namespace

absl::StatusOr<Waker> Waker::Open() {
  os::UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return os::ErrnoStatus(errno, "cannot make an eventfd");
  os::UniqueFd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid()) return os::ErrnoStatus(errno, "cannot watch folders (fs.inotify.max_user_instances may be too low)");
  return Waker(std::move(event), std::move(inotify));
}

void Waker::Wake() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event_.get(), &one, sizeof one);  // fails only when already awake
}

bool Waker::Watch(const std::string& folder, const std::string& key) {
  const int watch = inotify_add_watch(inotify_.get(), folder.c_str(), IN_CREATE | IN_MOVED_TO | IN_MODIFY | IN_CLOSE_WRITE);
  if (watch < 0) return false;
  keys_[watch] = key;
  return true;
}

void Waker::Unwatch(const std::string& key) {
  std::erase_if(keys_, [&](const auto& entry) {
    if (entry.second == key) inotify_rm_watch(inotify_.get(), entry.first);
    return entry.second == key;
  });
}

Waker::Woken Waker::Wait(const std::vector<Pidfd>& pidfds, int timeout_ms) {
  std::vector<pollfd> fds = {{event_.get(), POLLIN, 0}, {inotify_.get(), POLLIN, 0}};
  for (const Pidfd& pidfd : pidfds) fds.push_back({pidfd.fd, POLLIN, 0});
  Woken woken;
  if (poll(fds.data(), fds.size(), timeout_ms) <= 0) return woken;
  if (fds[0].revents != 0) {
    uint64_t count;
    [[maybe_unused]] const ssize_t got = read(event_.get(), &count, sizeof count);
  }
  if (fds[1].revents != 0) DrainInotify(woken.changed);
  for (size_t i = 0; i < pidfds.size(); ++i) {
    if (fds[i + 2].revents != 0) woken.ended.push_back(pidfds[i].key);
  }
  return woken;
}

void Waker::DrainInotify(std::set<std::string>& changed) {
  alignas(inotify_event) char buffer[64 << 10];
  for (;;) {
    const ssize_t got = read(inotify_.get(), buffer, sizeof buffer);
    if (got <= 0) return;
    for (const char* at = buffer; at < buffer + got;) {
      inotify_event event;
      std::memcpy(&event, at, sizeof event);
      const std::string_view name = event.len > 0 ? std::string_view(at + sizeof event) : std::string_view();
      at += sizeof event + event.len;
      if ((event.mask & IN_Q_OVERFLOW) != 0) {  // something was missed: look everywhere
        for (const auto& [watch, key] : keys_) changed.insert(key);
        continue;
      }
      const auto key = keys_.find(event.wd);
      if (key == keys_.end()) continue;
      if (Matters(name, event.mask)) changed.insert(key->second);
    }
  }
}

}  // namespace yoke::launcher
