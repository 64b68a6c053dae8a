#include "server/daemon/control.h"

#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/ipc/attempt_files.h"
#include "common/os/file.h"
#include "server/daemon/state_folder.h"
#include "server/jobs/array.h"
#include "server/jobs/ids.h"
#include "server/jobs/spec.h"
#include "server/jobs/state_machine.h"
#include "server/jobs/transitions.h"
#include "server/launcher/attempt_folder.h"
#include "server/launcher/short_run.h"
#include "server/launcher/start.h"

namespace yoke::daemon {
namespace {

constexpr absl::Duration kGraceMax = absl::Hours(1);
constexpr absl::Duration kProbeLimit = absl::Seconds(60);

// A folder of this call's own, removed at its end.
class ScratchFolder {
 public:
  // Named by the run id: what a killed daemon leaves is found by it.
  static absl::StatusOr<std::unique_ptr<ScratchFolder>> Make(const std::string& state_dir, const std::string& run_id) {
    const std::string path = absl::StrCat(ScratchRoot(state_dir), "/", run_id);
    YOKE_RETURN_IF_ERROR(os::MakeDirs(path));
    return std::make_unique<ScratchFolder>(path);
  }
  explicit ScratchFolder(std::string path) : path_(std::move(path)) {}
  ~ScratchFolder() {
    std::error_code ignored;  // what stays is only in the way of nobody
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

// The last line of `output` that is a JSON object; null without one.
nlohmann::json LastObject(const std::string& output) {
  const std::vector<std::string> lines = absl::StrSplit(output, '\n');
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    nlohmann::json json = nlohmann::json::parse(*line, nullptr, false);
    if (json.is_object()) return json;
  }
  return nullptr;
}

std::string TextOf(const nlohmann::json& json, const char* name) {
  return json.is_object() && json.contains(name) && json[name].is_string() ? json[name].get<std::string>() : "";
}

std::vector<std::string> LinesOf(const nlohmann::json& json, const char* name) {
  std::vector<std::string> lines;
  if (!json.is_object() || !json.contains(name) || !json[name].is_array()) return lines;
  for (const nlohmann::json& line : json[name]) {
    if (line.is_string()) lines.push_back(line.get<std::string>());
  }
  return lines;
}

// The worker refused: its own words, and its reason for scripts.
absl::Status Refusal(const launcher::ShortRun& run, const nlohmann::json& answer) {
  std::string message = TextOf(answer, "message");
  const std::string reason = TextOf(answer, "reason");
  if (message.empty()) {
    message = run.signal != 0 ? absl::StrCat("the check of data and weights was killed by signal ", run.signal)
                              : absl::StrCat("the check of data and weights ended with exit code ", run.exit_code);
    if (!run.talk.empty()) absl::StrAppend(&message, ": ", absl::StripAsciiWhitespace(run.talk));
  }
  absl::Status status = run.exit_code == ipc::kWorkerBadInput          ? absl::InvalidArgumentError(message)
                        : run.exit_code == ipc::kWorkerCudaUnavailable ? absl::FailedPreconditionError(message)
                        : run.exit_code == ipc::kWorkerOutOfMemory || run.exit_code == ipc::kWorkerDiskFull
                            ? absl::ResourceExhaustedError(message)
                            : absl::InternalError(message);
  if (!reason.empty()) status.SetPayload("yoke.reason", absl::Cord(reason));
  return status;
}

class Control : public jobs::JobControl {
 public:
  Control(const ControlOptions& options, jobs::JobStore& store, const devices::DeviceInventory& inventory, launcher::Launcher& launcher,
          SchedulingDesk& desk)
      : options_(options), store_(store), inventory_(inventory), launcher_(launcher), desk_(desk) {}

  absl::StatusOr<jobs::JobRecord> Cancel(const std::string& id, std::optional<absl::Duration> grace,
                                         const std::string& comment) override {
    const double seconds = absl::ToDoubleSeconds(
        std::clamp(grace.value_or(options_.grace), absl::ZeroDuration(), kGraceMax));
    YOKE_ASSIGN_OR_RETURN(const jobs::JobRecord found, store_.Get(id));
    if (jobs::IsArray(found.public_job)) return CancelArray(id, {jobs::kStopCancel, seconds, comment, ""});
    YOKE_ASSIGN_OR_RETURN(jobs::JobRecord job, store_.Update(id, [&](jobs::JobRecord& record, jobs::JobStore::LeaseChange&) {
                            return jobs::IntendStop(record, {jobs::kStopCancel, seconds, comment, ""}, absl::Now());
                          }));
    if (jobs::HasLiveAttempt(job.public_job.state())) launcher_.CarryOutStop(job.id);
    return job;
  }

  absl::StatusOr<jobs::JobRecord> Requeue(const std::string& id,
                                          std::optional<absl::Duration> grace) override {
    const double seconds = absl::ToDoubleSeconds(
        std::clamp(grace.value_or(options_.grace), absl::ZeroDuration(), kGraceMax));
    YOKE_ASSIGN_OR_RETURN(jobs::JobRecord job, store_.Update(id, [&](jobs::JobRecord& record, jobs::JobStore::LeaseChange&) {
                            return jobs::StopAttempt(record, {jobs::kStopRequeue, seconds, "", ""});
                          }));
    launcher_.CarryOutStop(job.id);
    return job;
  }

  absl::StatusOr<jobs::QueueView> Queue() override { return desk_.View(); }
  const std::set<std::string>& QueueNames() const override { return desk_.queue_names(); }

  absl::StatusOr<jobs::PrepareAnswer> Prepare(const v1::JobSpec& resolved, const std::vector<std::string>& user_set) override {
    const std::string run_id = jobs::NewRunId();
    YOKE_ASSIGN_OR_RETURN(const std::unique_ptr<ScratchFolder> folder, ScratchFolder::Make(options_.state_dir, run_id));
    YOKE_ASSIGN_OR_RETURN(ipc::AttemptSpec spec, SpecFor(resolved, user_set, folder->path()));
    spec.run_id = run_id;
    const launcher::AttemptFolder attempt(spec.attempt_dir);
    YOKE_RETURN_IF_ERROR(attempt.Create(spec));
    YOKE_ASSIGN_OR_RETURN(const launcher::ShortRun run,
                          launcher::RunShortly({options_.worker_path, "--prepare", "--spec", attempt.Path("spec.json")}, folder->path(), spec.run_id,
                                               options_.prepare_timeout));
    const nlohmann::json answer = LastObject(run.output);
    if (run.exit_code != 0 || run.signal != 0) return Refusal(run, answer);
    return jobs::PrepareAnswer{LinesOf(answer, "banner"), LinesOf(answer, "warnings")};
  }

  absl::StatusOr<std::string> ProbeWorker() override {
    const std::string run_id = jobs::NewRunId();
    YOKE_ASSIGN_OR_RETURN(const std::unique_ptr<ScratchFolder> folder, ScratchFolder::Make(options_.state_dir, run_id));
    YOKE_ASSIGN_OR_RETURN(const launcher::ShortRun run, launcher::RunShortly({options_.worker_path, "--probe"}, folder->path(), run_id, kProbeLimit));
    const nlohmann::json answer = LastObject(run.output);
    if (run.exit_code == 0 && run.signal == 0 && answer.is_object()) return answer.dump();
    return absl::InternalError(absl::StrCat(options_.worker_path, " --probe ended with ",
                                            run.signal != 0 ? absl::StrCat("signal ", run.signal) : absl::StrCat("exit code ", run.exit_code),
                                            run.talk.empty() ? "" : ": ", absl::StripAsciiWhitespace(run.talk)));
  }

  std::string AttemptDir(const std::string& id, int attempt) const override {
    return launcher::AttemptDir(launcher::JobsRoot(options_.state_dir), id, attempt);
  }

  std::string JobAt(const std::string& path) const override {
    if (path.empty()) return "";
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::path root = fs::canonical(launcher::JobsRoot(options_.state_dir), error);
    const fs::path inside =
        error ? fs::path() : fs::canonical(path, error).lexically_relative(root);
    if (error || std::distance(inside.begin(), inside.end()) < 2) return "";
    const absl::StatusOr<std::string> id = jobs::ParseJobName(inside.begin()->string());
    return id.ok() && *std::next(inside.begin()) == "run" ? *id : "";
  }

 private:
  absl::StatusOr<jobs::JobRecord> CancelArray(const std::string& id, const jobs::StopIntent& intent) {
    YOKE_ASSIGN_OR_RETURN(jobs::ArrayWithTasks array, store_.UpdateArray(id, [&](jobs::ArrayWithTasks& change) {
                            return jobs::StopArray(intent, absl::Now(), change);
                          }));
    for (const jobs::JobRecord& task : array.tasks) {
      if (jobs::HasLiveAttempt(task.public_job.state())) launcher_.CarryOutStop(task.id);
    }
    return std::move(array.array);
  }

  absl::StatusOr<ipc::AttemptSpec> SpecFor(const v1::JobSpec& resolved, const std::vector<std::string>& user_set, const std::string& folder) const {
    YOKE_ASSIGN_OR_RETURN(const devices::DeviceSelection selection, inventory_.Resolve(resolved.device()));
    ipc::AttemptSpec spec;
    spec.job = "jobs/check";
    spec.attempt_dir = folder + "/attempt";
    spec.run_dir = folder + "/run";
    spec.cache_dir = ipc::CacheDir(options_.state_dir);
    spec.worker = options_.worker_path;
    std::vector<v1::Device> devices = selection.devices;
    // The scheduler will choose; the check needs their number only.
    for (const v1::Device& device : inventory_.Devices()) {
      const bool kind = (device.kind() == v1::Device::CPU_SLOT) == selection.cpu;
      if (selection.devices.empty() && kind && static_cast<int>(devices.size()) < selection.world_size) devices.push_back(device);
    }
    if (devices.empty()) return absl::InvalidArgumentError(absl::StrCat("device=", resolved.device(), " names no device of this machine"));
    launcher::RankLayout layout = launcher::LayOutRanks(resolved.device(), devices, launcher::ThisMachine(inventory_));
    spec.backend = layout.gpu ? "nccl" : "gloo";
    spec.ranks = std::move(layout.ranks);
    spec.device_words = std::move(layout.device_words);
    YOKE_ASSIGN_OR_RETURN(spec.resume_from,
                          launcher::ResumeFolder(launcher::JobsRoot(options_.state_dir), store_, resolved.train().resume()));
    spec.user_set = user_set;
    spec.spec = jobs::SpecJson(resolved);
    return spec;
  }

  const ControlOptions options_;
  jobs::JobStore& store_;
  const devices::DeviceInventory& inventory_;
  launcher::Launcher& launcher_;
  SchedulingDesk& desk_;
};

}  // namespace

std::unique_ptr<jobs::JobControl> MakeControl(const ControlOptions& options, jobs::JobStore& store, const devices::DeviceInventory& inventory,
                                              launcher::Launcher& launcher, SchedulingDesk& desk) {
  return std::make_unique<Control>(options, store, inventory, launcher, desk);
}

}  // namespace yoke::daemon
