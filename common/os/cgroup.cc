#include "common/os/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/os/file.h"

namespace yoke::os {
namespace {

// Where the hierarchy is mounted, and which of its groups is shown there.
struct Mount {
  std::string point, root;
};

// "36 35 0:31 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw": after the dash the type of
// the file system.
absl::StatusOr<Mount> FindMount() {
  YOKE_ASSIGN_OR_RETURN(const std::string table, ReadFile("/proc/self/mountinfo"));
  for (const absl::string_view line : absl::StrSplit(table, '\n')) {
    const std::vector<absl::string_view> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    if (halves.size() != 2 || !absl::StartsWith(halves[1], "cgroup2 ")) continue;
    const std::vector<absl::string_view> fields = absl::StrSplit(halves[0], ' ');
    if (fields.size() >= 5) return Mount{std::string(fields[4]), std::string(fields[3])};
  }
  return absl::NotFoundError("no cgroup2 file system is mounted");
}

std::vector<std::string> GroupsBelow(const std::string& folder) {
  std::vector<std::string> groups;
  std::unique_ptr<DIR, int (*)(DIR*)> open(opendir(folder.c_str()), closedir);
  while (const dirent* entry = open == nullptr ? nullptr : readdir(open.get())) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
      groups.push_back(absl::StrCat(folder, "/", entry->d_name));
  }
  return groups;
}

}  // namespace

absl::StatusOr<std::string> OwnCgroup() {
  YOKE_ASSIGN_OR_RETURN(const Mount mount, FindMount());
  YOKE_ASSIGN_OR_RETURN(const std::string table, ReadFile("/proc/self/cgroup"));
  for (absl::string_view path : absl::StrSplit(table, '\n')) {
    if (!absl::ConsumePrefix(&path, "0::")) continue;
    if (mount.root != "/" && !absl::ConsumePrefix(&path, mount.root)) break;
    if (absl::StartsWith(path, "/..")) break;  // outside of our namespace
    return absl::StrCat(mount.point, path == "/" ? "" : path);
  }
  return absl::NotFoundError(
      absl::StrCat("the group of this process is not shown below ", mount.point));
}

absl::Status SetCgroup(const std::string& folder, const std::string& key, std::string_view value) {
  const std::string path = absl::StrCat(folder, "/", key);
  YOKE_ASSIGN_OR_RETURN(const UniqueFd fd, Open(path, O_WRONLY));
  return WriteAll(fd.get(), value, path);
}

absl::StatusOr<bool> IsCgroupPopulated(const std::string& folder) {
  absl::StatusOr<std::string> events = ReadFile(folder + "/cgroup.events");
  // A group that is removed between open and read gives ENODEV.
  if (!events.ok() && access(folder.c_str(), F_OK) != 0)
    return absl::NotFoundError(absl::StrCat("there is no group ", folder));
  if (!events.ok()) return events.status();
  return absl::StrContains(*events, "populated 1");
}

std::vector<pid_t> CgroupProcesses(const std::string& folder) {
  std::vector<pid_t> pids;
  if (const absl::StatusOr<std::string> list = ReadFile(folder + "/cgroup.procs"); list.ok()) {
    for (const absl::string_view line : absl::StrSplit(*list, '\n')) {
      pid_t pid = 0;
      if (absl::SimpleAtoi(line, &pid) && pid > 0) pids.push_back(pid);
    }
  }
  for (const std::string& group : GroupsBelow(folder)) {
    const std::vector<pid_t> below = CgroupProcesses(group);
    pids.insert(pids.end(), below.begin(), below.end());
  }
  return pids;
}

absl::Status KillCgroup(const std::string& folder) {
  const absl::Status killed = SetCgroup(folder, "cgroup.kill", "1");
  return killed.ok() || access(folder.c_str(), F_OK) != 0 ? absl::OkStatus() : killed;
}

absl::Status RemoveCgroup(const std::string& folder) {
  for (const std::string& group : GroupsBelow(folder)) YOKE_RETURN_IF_ERROR(RemoveCgroup(group));
  if (rmdir(folder.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno == EBUSY || errno == ENOTEMPTY)
    return absl::FailedPreconditionError(absl::StrCat("processes live in ", folder));
  return ErrnoStatus(errno, absl::StrCat("cannot remove ", folder));
}

}  // namespace yoke::os
