#include "server/streams/folder_watch.h"

#include <dirent.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/hash/hash.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "common/os/clock.h"

namespace yoke::streams {
namespace {

constexpr int64_t kLookIntervalMs = 50;
constexpr uint32_t kEvents = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR;
constexpr long kCifsMagic = 0xff534d42;
constexpr long kFuseMagic = 0x65735546;

// Other machines change these without the kernel noticing.
bool IsRemote(const std::string& folder) {
  struct statfs info;
  if (statfs(folder.c_str(), &info) != 0) return false;
  const auto type = static_cast<long>(info.f_type);
  return type == NFS_SUPER_MAGIC || type == SMB_SUPER_MAGIC || type == V9FS_MAGIC ||
         type == kCifsMagic || type == kFuseMagic;
}

}  // namespace

std::vector<uint64_t> FolderStamps(const std::string& folder,
                                   const std::vector<std::string>& suffixes) {
  std::vector<uint64_t> stamps(suffixes.size(), 1);
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(opendir(folder.c_str()), closedir);
  if (listing == nullptr) return stamps;
  while (const dirent* entry = readdir(listing.get())) {
    const absl::string_view name(entry->d_name);
    struct stat info = {};
    for (size_t i = 0; i < suffixes.size(); ++i) {
      if (!absl::EndsWith(name, suffixes[i])) continue;
      if (info.st_ino == 0 && fstatat(dirfd(listing.get()), entry->d_name, &info, 0) != 0) break;
      // In whatever order they are listed.
      stamps[i] +=
          absl::HashOf(name, info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
    }
  }
  for (uint64_t& stamp : stamps) stamp |= 1;
  return stamps;
}

FolderWatch::FolderWatch()
    : inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
      interrupt_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

void FolderWatch::Add(const std::string& folder) {
  MutexLock lock(mutex_);
  if (!watches_.emplace(folder, -1).second) return;
  ++unwatched_;
  Begin(folder);
  if (watches_[folder] < 0) Interrupt();  // a wait that goes on is too long now
}

void FolderWatch::Begin(const std::string& folder) {
  if (!inotify_.valid() || IsRemote(folder)) return;
  const int watch = inotify_add_watch(inotify_.get(), folder.c_str(), kEvents);
  if (watch < 0) return;
  watches_[folder] = watch;
  folders_[watch] = folder;
  --unwatched_;
}

void FolderWatch::Remove(const std::string& folder) {
  MutexLock lock(mutex_);
  const auto found = watches_.find(folder);
  if (found == watches_.end()) return;
  if (found->second < 0) {
    --unwatched_;
  } else {
    inotify_rm_watch(inotify_.get(), found->second);
    folders_.erase(found->second);
  }
  watches_.erase(found);
}

std::vector<FolderChange> FolderWatch::Wait(int64_t limit_ms) {
  {
    MutexLock lock(mutex_);
    if (unwatched_ > 0) limit_ms = std::min(limit_ms, kLookIntervalMs);
  }
  pollfd fds[] = {{interrupt_.get(), POLLIN, 0}, {inotify_.get(), POLLIN, 0}};
  poll(fds, 2, static_cast<int>(std::min<int64_t>(limit_ms, 3'600'000)));
  if ((fds[0].revents & POLLIN) != 0) {
    uint64_t rings = 0;
    [[maybe_unused]] const ssize_t count = read(interrupt_.get(), &rings, sizeof rings);
  }
  std::vector<FolderChange> changes;
  if ((fds[1].revents & POLLIN) != 0) ReadEvents(changes);
  LookAround(changes);
  return changes;
}

void FolderWatch::Interrupt() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t count = write(interrupt_.get(), &one, sizeof one);
}

void FolderWatch::ReadEvents(std::vector<FolderChange>& changes) {
  alignas(inotify_event) char buffer[16384];
  while (true) {
    const ssize_t count = read(inotify_.get(), buffer, sizeof buffer);
    if (count <= 0) return;
    MutexLock lock(mutex_);
    for (ssize_t at = 0; at < count;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      if ((event->mask & IN_Q_OVERFLOW) != 0) {
        for (const auto& [folder, watch] : watches_) changes.push_back({folder, ""});
        continue;
      }
      const auto found = folders_.find(event->wd);
      if (found == folders_.end()) continue;
      if ((event->mask & IN_IGNORED) != 0) {  // the folder is gone
        watches_[found->second] = -1;
        ++unwatched_;
        folders_.erase(found);
        continue;
      }
      const std::string name = event->len > 0 ? event->name : "";
      if (!changes.empty() && changes.back().folder == found->second && changes.back().name == name)
        continue;
      changes.push_back({found->second, name});
    }
  }
}

void FolderWatch::LookAround(std::vector<FolderChange>& changes) {
  MutexLock lock(mutex_);
  const int64_t now = os::BootMilliseconds();
  if (unwatched_ == 0 || now - looked_ms_ < kLookIntervalMs) return;
  looked_ms_ = now;
  for (const auto& [folder, watch] : watches_) {
    if (watch >= 0) continue;
    Begin(folder);
    changes.push_back({folder, ""});
  }
}

}  // namespace yoke::streams
