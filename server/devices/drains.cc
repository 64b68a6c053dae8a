#include "server/devices/drains.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/ipc/attempt_files.h"
#include "common/ipc/json_reader.h"

namespace yoke::devices {
namespace {

using nlohmann::json;

absl::Status Damaged(const std::string& path, absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat(path, " says which devices are drained and cannot be understood (", what,
                   "). Mend it, or remove it: then drained devices are given out again"));
}

absl::StatusOr<Drain> DrainFromJson(const json& object) {
  Drain drain;
  ipc::JsonReader reader(object, "a drained device");
  reader.Read("uuid", drain.uuid);
  reader.ReadIfPresent("name", drain.name);
  reader.Read("reason", drain.reason);
  reader.Read("failed", drain.failed);
  reader.ReadIfPresent("since", drain.since);
  if (!reader.status().ok()) return reader.status();
  return drain;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Drains>> Drains::Open(const std::string& path) {
  Map drains;
  const absl::StatusOr<json> file =
      path.empty() ? absl::NotFoundError("") : ipc::ReadJsonFile(path);
  if (file.ok()) {
    const bool sound =
        file->is_object() && file->contains("drained") && (*file)["drained"].is_array();
    if (!sound) return Damaged(path, "it has no list 'drained'");
    for (const json& object : (*file)["drained"]) {
      absl::StatusOr<Drain> drain = DrainFromJson(object);
      if (!drain.ok()) return Damaged(path, drain.status().message());
      drains[drain->uuid] = *drain;
    }
  } else if (absl::IsInvalidArgument(file.status())) {
    return Damaged(path, file.status().message());
  } else if (!absl::IsNotFound(file.status())) {
    return file.status();
  }
  return std::unique_ptr<Drains>(new Drains(path, std::move(drains)));
}

absl::Status Drains::Write(const Map& drains) const {
  if (path_.empty()) return absl::OkStatus();
  json list = json::array();
  for (const auto& [uuid, drain] : drains) {
    list.push_back({{"uuid", uuid},
                    {"name", drain.name},
                    {"reason", drain.reason},
                    {"failed", drain.failed},
                    {"since", drain.since}});
  }
  return ipc::WriteJsonFile(path_, {{"drained", list}});
}

absl::Status Drains::Add(Drain drain) {
  MutexLock lock(mutex_);
  Map changed = drains_;
  Drain& known = changed[drain.uuid];
  if (!known.failed) known = std::move(drain);
  YOKE_RETURN_IF_ERROR(Write(changed));
  drains_ = std::move(changed);
  unstored_ = false;
  return absl::OkStatus();
}

void Drains::AddFault(Drain drain) {
  MutexLock lock(mutex_);
  Drain& known = drains_[drain.uuid];
  if (known.failed) return;
  known = std::move(drain);
  unstored_ = !Write(drains_).ok();
}

absl::Status Drains::Remove(const std::string& uuid) {
  MutexLock lock(mutex_);
  if (!drains_.contains(uuid)) return absl::OkStatus();
  Map changed = drains_;
  changed.erase(uuid);
  YOKE_RETURN_IF_ERROR(Write(changed));
  drains_ = std::move(changed);
  unstored_ = false;
  return absl::OkStatus();
}

void Drains::Store() {
  MutexLock lock(mutex_);
  if (unstored_) unstored_ = !Write(drains_).ok();
}

std::optional<Drain> Drains::Find(const std::string& uuid) const {
  MutexLock lock(mutex_);
  const auto found = drains_.find(uuid);
  return found == drains_.end() ? std::nullopt : std::optional<Drain>(found->second);
}

std::vector<Drain> Drains::All() const {
  MutexLock lock(mutex_);
  std::vector<Drain> all;
  for (const auto& [uuid, drain] : drains_) all.push_back(drain);
  return all;
}

std::string FaultOfXid(unsigned xid) {
  // NVIDIA, "XID Errors": those whose advice is to look at, reset or replace the GPU, and page
  // faults, after which nobody can tell a program's bug from memory that lies.
  static const std::map<unsigned, const char*> kFaults = {
      {31, "a memory page fault"},
      {48, "a double-bit ECC error"},
      {62, "its micro-controller halted"},
      {64, "a page of its memory cannot be retired"},
      {74, "an NVLink error"},
      {79, "it has fallen off the bus"},
      {94, "a contained ECC error"},
      {95, "an uncontained ECC error"},
      {119, "its system processor does not answer"},
      {120, "its system processor failed"},
  };
  const auto found = kFaults.find(xid);
  return found == kFaults.end() ? "" : absl::StrCat("XID ", xid, " (", found->second, ")");
}

}  // namespace yoke::devices
