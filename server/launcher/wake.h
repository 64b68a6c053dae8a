// What the launcher's thread sleeps on: an eventfd for commands, inotify for the attempts' folders, and the
// pidfds of shims.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/os/unique_fd.h"

namespace yoke::launcher {

class Waker {
 public:
  static absl::StatusOr<Waker> Open();

  // From any thread.
  void Wake() const;

  // Reports what happens in a folder under `key`. False if the kernel has no watch left.
  bool Watch(const std::string& folder, const std::string& key);
  void Unwatch(const std::string& key);

  struct Pidfd {
    std::string key;
    int fd;
  };
  struct Woken {
    std::vector<std::string> ended;  // keys whose pidfd's process has ended
    std::set<std::string> changed;   // keys in whose folder something that matters happened
  };
  // Waits at most `timeout_ms` (-1: for ever).
  Woken Wait(const std::vector<Pidfd>& pidfds, int timeout_ms);

 private:
  Waker(os::UniqueFd event, os::UniqueFd inotify) : event_(std::move(event)), inotify_(std::move(inotify)) {}
  void DrainInotify(std::set<std::string>& changed);

  os::UniqueFd event_, inotify_;
  std::map<int, std::string> keys_;  // by watch descriptor
};

}  // namespace yoke::launcher
