// Hears when files of folders grow or appear: by inotify, and where that cannot be had, by looking
// at them often.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/os/unique_fd.h"

namespace yoke::streams {

struct FolderChange {
  std::string folder;
  std::string name;  // of the file; empty: any of them
};

// For each of `suffixes`, in their order, what is another number once any of the folder's files
// whose names end so has grown, was cut or came; never 0.
std::vector<uint64_t> FolderStamps(const std::string& folder,
                                   const std::vector<std::string>& suffixes);

// Thread-safe; one thread at a time waits.
class FolderWatch {
 public:
  FolderWatch();

  // The folder need not be there yet, and may go away.
  void Add(const std::string& folder);
  void Remove(const std::string& folder);

  // Returns what changed; nothing after `limit_ms` (less where folders have to be looked at), or
  // when interrupted.
  std::vector<FolderChange> Wait(int64_t limit_ms);
  // Ends a wait, or the next one.
  void Interrupt();

 private:
  void Begin(const std::string& folder) YOKE_REQUIRES(mutex_);
  void ReadEvents(std::vector<FolderChange>& changes);
  void LookAround(std::vector<FolderChange>& changes);

  os::UniqueFd inotify_, interrupt_;
  int64_t looked_ms_ = 0;  // of the waiting thread
  Mutex mutex_;
  std::map<std::string, int> watches_ YOKE_GUARDED_BY(mutex_);  // -1: no watch, to be looked at
  std::map<int, std::string> folders_ YOKE_GUARDED_BY(mutex_);
  int unwatched_ YOKE_GUARDED_BY(mutex_) = 0;
};

}  // namespace yoke::streams
