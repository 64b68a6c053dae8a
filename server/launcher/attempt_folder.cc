#include "server/launcher/attempt_folder.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/os/file.h"
#include "common/os/ofd_lock.h"

namespace yoke::launcher {

std::string JobsRoot(const std::string& state_dir) { return state_dir + "/jobs"; }
std::string RunDir(const std::string& jobs_root, const std::string& job_id) { return absl::StrCat(jobs_root, "/", job_id, "/run"); }
std::string AttemptDir(const std::string& jobs_root, const std::string& job_id, int attempt) {
  return absl::StrCat(jobs_root, "/", job_id, "/attempts/", attempt);
}

absl::Status AttemptFolder::Create(const ipc::AttemptSpec& spec) const {
  for (const std::string& folder : {dir_, spec.run_dir, spec.cache_dir}) YOKE_RETURN_IF_ERROR(os::MakeDirs(folder, 0755, os::Sync::kLater));
  return ipc::WriteJsonFile(Path("spec.json"), ipc::ToJson(spec), os::Sync::kLater);
}

absl::StatusOr<Observation> AttemptFolder::Observe() const {
  Observation seen;
  // The order matters. `started` is created under the lock, so if it was there before we asked for the lock
  // and the lock is free, its shim is dead; and a dead shim writes no exit.json after that.
  const bool claimed = os::FileExists(Path("started"));
  YOKE_ASSIGN_OR_RETURN(const bool held, os::OfdLock::IsHeld(Path("lock")));
  if (!held) {
    if (const auto json = ipc::ReadJsonFile(Path("exit.json")); json.ok()) {
      YOKE_ASSIGN_OR_RETURN(seen.exit, ipc::ExitRecordFromJson(*json));
    } else if (!absl::IsNotFound(json.status())) {
      return json.status();
    }
  }
  if (const auto json = ipc::ReadJsonFile(Path("started")); json.ok()) {
    if (const auto record = ipc::StartRecordFromJson(*json); record.ok()) seen.started = *record;
  }
  seen.sight = held ? Sight::kAlive : seen.exit ? Sight::kEnded : claimed ? Sight::kLost : Sight::kNotStarted;
  return seen;
}

absl::Status AttemptFolder::WriteStop(const ipc::StopRequest& request) const { return ipc::WriteJsonFile(Path("stop.json"), ipc::ToJson(request)); }

std::string AttemptFolder::Cgroup() const {
  const auto json = ipc::ReadJsonFile(Path("spec.json"));
  if (!json.ok()) return "";
  const absl::StatusOr<ipc::AttemptSpec> spec = ipc::AttemptSpecFromJson(*json);
  return spec.ok() ? spec->cgroup : "";
}

bool AttemptFolder::RanksStarted() const { return os::FileExists(Path(ipc::RankLogName(0))); }

}  // namespace yoke::launcher
