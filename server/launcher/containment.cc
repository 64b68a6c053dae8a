#include "server/launcher/containment.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"
#include "common/os/cgroup.h"
#include "common/os/file.h"
#include "spdlog/spdlog.h"

namespace yoke::launcher {
namespace {

constexpr int kRemoveTries = 20;
constexpr useconds_t kRemovePauseMicroseconds = 10'000;

bool MakeGroup(const std::string& folder) {
  return mkdir(folder.c_str(), 0755) == 0 || errno == EEXIST;
}

// What the machine has less a twentieth, so that it is the attempt that goes when it takes all.
int64_t MemoryMax() {
  const int64_t total = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  return total - total / 20;
}

// Passes the controller on from both groups, so that those below can be limited by it.
bool PassOn(const std::string& base, const std::string& folder, const std::string& controller) {
  constexpr char kKey[] = "cgroup.subtree_control";
  return os::SetCgroup(base, kKey, "+" + controller).ok() &&
         os::SetCgroup(folder, kKey, "+" + controller).ok();
}

void EndAndRemove(const std::string& group) {
  os::KillCgroup(group).IgnoreError();
  for (int i = 0; i < kRemoveTries; ++i) {
    if (os::RemoveCgroup(group).ok()) return;
    usleep(kRemovePauseMicroseconds);
  }
  spdlog::warn("what is left of an attempt cannot be ended yet: {}", group);
}

}  // namespace

Containment Containment::Detect(const absl::StatusOr<std::string>& own,
                                const std::string& state_dir, int processes_max) {
  Containment found;
  found.processes_max_ = processes_max;
  if (!own.ok()) {
    found.words_ = absl::StrCat("subreaper (", own.status().message(), ")");
    return found;
  }
  const bool apart = absl::EndsWith(*own, "/daemon");
  found.base_ = apart ? std::filesystem::path(*own).parent_path().string() : *own;
  const std::string folder =
      absl::StrCat(found.base_, "/yoke-", absl::Hex(Crc32c(state_dir), absl::kZeroPad8));
  if (!MakeGroup(folder)) {
    found.words_ = absl::StrCat(
        "subreaper (",
        std::string(os::ErrnoStatus(errno, absl::StrCat("cannot make ", folder)).message()), ")");
    return found;
  }
  if (!os::FileExists(folder + "/cgroup.kill")) {
    os::RemoveCgroup(folder).IgnoreError();
    found.words_ = absl::StrCat("subreaper (the kernel cannot kill the groups below ", found.base_,
                                "; it can from Linux 5.14 on)");
    return found;
  }
  found.folder_ = folder;
  found.limits_processes_ = apart && PassOn(found.base_, folder, "pids");
  found.limits_memory_ = apart && PassOn(found.base_, folder, "memory");
  const char* limits = found.limits_processes_ && found.limits_memory_ ? "pids, memory"
                       : found.limits_processes_                       ? "pids"
                       : found.limits_memory_                          ? "memory"
                                                                       : "none";
  found.words_ = absl::StrCat("cgroup (", folder, "; limits: ", limits, ")");
  return found;
}

std::string Containment::Make(const std::string& run_id) const {
  if (folder_.empty()) return "";
  const std::string group = absl::StrCat(folder_, "/", run_id);
  // The shim that ends last removes the empty folder.
  for (int i = 0; i < 3; ++i) {
    if (!MakeGroup(group) && (!MakeGroup(folder_) || !MakeGroup(group))) continue;
    if (limits_processes_) {
      PassOn(base_, folder_, "pids");
      os::SetCgroup(group, "pids.max", absl::StrCat(processes_max_)).IgnoreError();
    }
    if (limits_memory_) {
      PassOn(base_, folder_, "memory");
      os::SetCgroup(group, "memory.max", absl::StrCat(MemoryMax())).IgnoreError();
      os::SetCgroup(group, "memory.oom.group", "1").IgnoreError();
    }
    return group;
  }
  spdlog::warn("no control group {} can be made; its processes are kept together by their run id",
               group);
  return "";
}

void Containment::RemoveOthers(
    const std::function<bool(const std::string& run_id)>& is_watched) const {
  if (folder_.empty()) return;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder_, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_directory(ignored) && !is_watched(entry->path().filename().string()))
      EndAndRemove(entry->path().string());
  }
  rmdir(folder_.c_str());
}

}  // namespace yoke::launcher
