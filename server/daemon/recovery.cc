#include "server/daemon/recovery.h"

#include <pwd.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/ipc/attempt_files.h"
#include "common/os/file.h"
#include "common/os/ofd_lock.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/time_util.h"
#include "server/jobs/ids.h"
#include "server/jobs/open_jobs.h"
#include "server/jobs/state_machine.h"
#include "server/launcher/attempt_folder.h"
#include "server/launcher/ending.h"

namespace yoke::daemon {
namespace {

namespace fs = std::filesystem;
using google::protobuf::util::TimeUtil;
using jobs::JobRecord;

struct KnownAttempt {
  v1::Attempt attempt;
  ipc::AttemptSpec spec;
};

std::string SpecPath(const std::string& jobs_root, const std::string& id, int number) {
  return launcher::AttemptDir(jobs_root, id, number) + "/spec.json";
}

// As its folder has it; an outcome only if it says how it ended.
absl::StatusOr<KnownAttempt> ReadAttempt(const std::string& jobs_root, const std::string& id,
                                         int number) {
  const std::string path = SpecPath(jobs_root, id, number);
  YOKE_ASSIGN_OR_RETURN(const nlohmann::json json, ipc::ReadJsonFile(path));
  KnownAttempt known;
  YOKE_ASSIGN_OR_RETURN(known.spec, ipc::AttemptSpecFromJson(json));
  v1::Attempt& attempt = known.attempt;
  attempt.set_name(jobs::AttemptName(id, number));
  attempt.set_number(number);
  attempt.set_run_id(known.spec.run_id);
  attempt.set_world_size(static_cast<int>(known.spec.ranks.size()));
  for (const ipc::RankSpec& rank : known.spec.ranks) {
    for (const std::string& uuid : rank.devices) attempt.add_device_uuids(uuid);
  }
  struct stat info = {};
  if (stat(path.c_str(), &info) == 0)
    *attempt.mutable_start_time() = TimeUtil::SecondsToTimestamp(info.st_mtime);
  const absl::StatusOr<nlohmann::json> exit =
      ipc::ReadJsonFile(launcher::AttemptDir(jobs_root, id, number) + "/exit.json");
  if (!exit.ok()) return known;
  if (const auto record = ipc::ExitRecordFromJson(*exit); record.ok()) {
    attempt.set_outcome(launcher::EndingOf(*record, {}).outcome);
    *attempt.mutable_end_time() =
        TimeUtil::SecondsToTimestamp(static_cast<int64_t>(record->end_time));
  }
  return known;
}

// Attempts above the ones the job has.
std::vector<v1::Attempt> LaterAttempts(const std::string& jobs_root, const JobRecord& job) {
  std::vector<v1::Attempt> later;
  for (int number = job.public_job.attempts_size() + 1;
       os::FileExists(SpecPath(jobs_root, job.id, number)); ++number) {
    const absl::StatusOr<KnownAttempt> known = ReadAttempt(jobs_root, job.id, number);
    if (!known.ok()) break;
    later.push_back(known->attempt);
  }
  return later;
}

bool IsAlive(const std::string& jobs_root, const std::string& id, int number) {
  return os::OfdLock::IsHeld(launcher::AttemptDir(jobs_root, id, number) + "/lock").value_or(true);
}

absl::Status TakeUp(const JobRecord& found, const std::vector<v1::Attempt>& later,
                    jobs::JobStore& store) {
  const auto change = [&](JobRecord& record, jobs::JobStore::LeaseChange& leases,
                          bool with_leases) {
    v1::Job& job = record.public_job;
    for (v1::Attempt& earlier : *job.mutable_attempts()) {
      if (earlier.outcome() == v1::Attempt::OUTCOME_UNSPECIFIED)
        earlier.set_outcome(v1::Attempt::LOST);
    }
    for (size_t i = 0; i < later.size(); ++i) {
      v1::Attempt& attempt = *job.add_attempts();
      attempt = later[i];
      const bool newest = i + 1 == later.size();
      if (newest) {
        // How it ended, the launcher reads once more, with all that belongs to it.
        attempt.clear_outcome();
        attempt.clear_end_time();
      } else if (attempt.outcome() == v1::Attempt::OUTCOME_UNSPECIFIED) {
        attempt.set_outcome(v1::Attempt::LOST);
      }
    }
    job.set_state(record.stop_requested ? v1::Job::STOPPING : v1::Job::STARTING);
    job.clear_reason();
    job.clear_next_attempt_time();
    job.set_message("Taken up from its attempt's own records.");
    if (!job.has_start_time()) *job.mutable_start_time() = job.attempts(0).start_time();
    if (with_leases)
      leases.take.assign(later.back().device_uuids().begin(), later.back().device_uuids().end());
    return absl::OkStatus();
  };
  const bool may_run = later.back().outcome() == v1::Attempt::OUTCOME_UNSPECIFIED;
  const auto updated =
      store.Update(found.id, [&](JobRecord& job, jobs::JobStore::LeaseChange& leases) {
        return change(job, leases, may_run);
      });
  if (!absl::IsFailedPrecondition(updated.status())) return updated.status();
  // Another job has its devices by now, so nothing of it runs on them.
  return store
      .Update(found.id,
              [&](JobRecord& job, jobs::JobStore::LeaseChange& leases) {
                return change(job, leases, false);
              })
      .status();
}

// The job that a folder tells of; who gave it which name is not in it.
absl::StatusOr<JobRecord> JobOfFolder(const std::string& jobs_root, const std::string& id) {
  YOKE_ASSIGN_OR_RETURN(const KnownAttempt first, ReadAttempt(jobs_root, id, 1));
  JobRecord record;
  record.id = id;
  record.user_set = first.spec.user_set;
  v1::Job& job = record.public_job;
  google::protobuf::util::JsonParseOptions lenient;
  lenient.ignore_unknown_fields = true;
  if (!google::protobuf::util::JsonStringToMessage(first.spec.spec.dump(), job.mutable_spec(),
                                                   lenient)
           .ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(SpecPath(jobs_root, id, 1), " holds no specification"));
  }
  struct stat info = {};
  stat(first.spec.attempt_dir.c_str(), &info);
  record.uid = info.st_uid;
  const passwd* owner = getpwuid(info.st_uid);
  job.set_owner(owner != nullptr ? owner->pw_name : absl::StrCat("uid ", info.st_uid));
  job.set_state(v1::Job::QUEUED);
  job.set_run_dir(first.spec.run_dir);
  *job.mutable_create_time() = first.attempt.start_time();
  return record;
}

bool IsJobFolder(const std::string& name) {
  return name.size() == jobs::kJobIdLength && jobs::ParseJobName(name).ok();
}

// Ids of jobs that only their folders tell of, oldest first.
absl::StatusOr<std::vector<std::string>> UnknownFolders(const std::string& jobs_root,
                                                        jobs::JobStore& store) {
  std::vector<std::pair<fs::file_time_type, std::string>> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(jobs_root, error)) {
    const std::string id = entry.path().filename().string();
    if (!IsJobFolder(id)) continue;
    const absl::Status known = store.Get(id).status();
    if (!known.ok() && !absl::IsNotFound(known)) return known;
    const auto time =
        known.ok() ? fs::file_time_type() : fs::last_write_time(SpecPath(jobs_root, id, 1), error);
    if (!known.ok() && !error) found.emplace_back(time, id);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> ids;
  for (auto& [time, id] : found) ids.push_back(std::move(id));
  return ids;
}

}  // namespace

bool HasAttempts(const std::string& jobs_root) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(jobs_root, error)) {
    const std::string id = entry.path().filename().string();
    if (IsJobFolder(id) && os::FileExists(SpecPath(jobs_root, id, 1))) return true;
  }
  return false;
}

absl::StatusOr<std::vector<std::string>> TakeUpAttempts(const std::string& jobs_root,
                                                        jobs::JobStore& store) {
  int jobs = 0;
  YOKE_ASSIGN_OR_RETURN(const std::vector<std::string> unknown, UnknownFolders(jobs_root, store));
  for (const std::string& id : unknown) {
    absl::StatusOr<JobRecord> job = JobOfFolder(jobs_root, id);
    if (!job.ok()) continue;
    YOKE_RETURN_IF_ERROR(store.Create(*std::move(job)).status());
    ++jobs;
  }
  const jobs::OpenJobs open = store.Open();
  struct Found {
    const JobRecord* job;
    std::vector<v1::Attempt> later;
    bool alive;
  };
  std::vector<Found> found;
  for (const JobRecord& job : open) {
    std::vector<v1::Attempt> later = LaterAttempts(jobs_root, job);
    if (later.empty()) continue;
    const bool alive = IsAlive(jobs_root, job.id, later.back().number());
    found.push_back({&job, std::move(later), alive});
  }
  // Those whose supervisor lives come first: of two that name one device, it is theirs.
  std::stable_partition(found.begin(), found.end(), [](const Found& each) { return each.alive; });
  for (const Found& each : found) YOKE_RETURN_IF_ERROR(TakeUp(*each.job, each.later, store));
  std::vector<std::string> done;
  if (jobs > 0)
    done.push_back(absl::StrCat(
        jobs, " job(s) that only their folders told of were given back to the queue's records"));
  if (!found.empty())
    done.push_back(absl::StrCat(found.size(),
                                " job(s) had attempts that the database did not know; they were "
                                "taken up from their folders"));
  return done;
}

}  // namespace yoke::daemon
