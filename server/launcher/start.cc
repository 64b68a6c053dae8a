#include "server/launcher/start.h"

#include <fcntl.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/os/failpoint.h"
#include "common/os/file.h"
#include "common/os/process.h"
#include "google/protobuf/util/time_util.h"
#include "server/devices/cpu_slots.h"
#include "server/jobs/ids.h"
#include "server/jobs/spec.h"
#include "server/jobs/state_machine.h"

namespace yoke::launcher {
namespace {

// Where a job's training continues: an earlier attempt's run folder, a job's run folder, or a path as given.
absl::StatusOr<std::string> ResumeFrom(const std::string& jobs_root, jobs::JobStore& store, const jobs::JobRecord& job) {
  if (job.public_job.attempts_size() > 1) return RunDir(jobs_root, job.id);
  std::string asked = job.public_job.parent();
  if (asked.empty() && job.public_job.spec().has_train()) asked = job.public_job.spec().train().resume();
  return ResumeFolder(jobs_root, store, asked);
}

absl::Status Start(const LauncherOptions& options, const Machine& machine, const std::vector<std::string>& device_uuids,
                   const std::vector<v1::Device>& devices, jobs::JobRecord& record) {
  v1::Job& job = record.public_job;
  YOKE_ASSIGN_OR_RETURN(const v1::Job::State next, jobs::Next(job.state(), jobs::JobEventKind::kStart));
  const auto now = google::protobuf::util::TimeUtil::MillisecondsToTimestamp(absl::ToUnixMillis(absl::Now()));
  const RankLayout layout = LayOutRanks(job.spec().device(), devices, machine);
  job.set_state(next);
  job.set_reason(v1::JobReason::CODE_UNSPECIFIED);
  job.clear_next_attempt_time();
  job.set_message(absl::StrCat("Starts on ", DeviceWords(devices), "."));
  job.set_run_dir(RunDir(JobsRoot(options.state_dir), record.id));
  if (!job.has_start_time()) *job.mutable_start_time() = now;
  if (jobs::TrainPart(job.spec()) != nullptr) {
    const std::vector<std::string> banner = jobs::Banner(job.spec(), layout.device_words, layout.gpu);
    job.mutable_banner()->Assign(banner.begin(), banner.end());
  }
  v1::Attempt& attempt = *job.add_attempts();
  attempt.set_number(job.attempts_size());
  attempt.set_name(jobs::AttemptName(record.id, attempt.number()));
  attempt.set_run_id(jobs::NewRunId());
  attempt.mutable_device_uuids()->Assign(device_uuids.begin(), device_uuids.end());
  attempt.set_world_size(static_cast<int>(layout.ranks.size()));
  *attempt.mutable_start_time() = now;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ResumeFolder(const std::string& jobs_root, jobs::JobStore& store, const std::string& asked) {
  const absl::StatusOr<std::string> id = jobs::ParseJobName(asked);
  if (!id.ok()) return asked;
  YOKE_ASSIGN_OR_RETURN(const jobs::JobRecord parent, store.Get(*id));
  return RunDir(jobs_root, parent.id);
}

absl::StatusOr<std::vector<v1::Device>> FindDevices(const devices::DeviceInventory& inventory, const std::vector<std::string>& uuids) {
  const std::vector<v1::Device> all = inventory.Devices();
  std::vector<v1::Device> found;
  for (const std::string& uuid : uuids) {
    const auto device = std::find_if(all.begin(), all.end(), [&](const v1::Device& other) { return other.uuid() == uuid; });
    if (device == all.end()) return absl::NotFoundError(absl::StrCat("this machine does not show device ", uuid, " now"));
    found.push_back(*device);
  }
  if (found.empty()) return absl::InvalidArgumentError("no devices");
  return found;
}

Machine ThisMachine(const devices::DeviceInventory& inventory) {
  const std::vector<v1::Device> all = inventory.Devices();
  const auto gpus = std::count_if(all.begin(), all.end(), [](const v1::Device& device) { return device.kind() == v1::Device::GPU; });
  return {devices::UsableCores(), static_cast<int>(gpus)};
}

std::vector<absl::Status> CommitStarts(const LauncherOptions& options, jobs::JobStore& store, const devices::DeviceInventory& inventory,
                                       const std::vector<StartOrder>& orders) {
  const Machine machine = ThisMachine(inventory);
  std::vector<absl::Status> statuses(orders.size());
  std::vector<jobs::JobStore::Edit> edits;
  std::vector<size_t> places;  // of the edits among the orders
  for (size_t i = 0; i < orders.size(); ++i) {
    absl::StatusOr<std::vector<v1::Device>> devices = FindDevices(inventory, orders[i].device_uuids);
    if (!devices.ok()) {
      statuses[i] = devices.status();
      continue;
    }
    edits.push_back({orders[i].job_id, [&options, &machine, &order = orders[i], devices = *std::move(devices)](jobs::JobRecord& record, auto& leases) {
                       leases.take = order.device_uuids;
                       for (const v1::Device& device : devices) leases.memory_bytes[device.uuid()] = device.memory_total_bytes();
                       return Start(options, machine, order.device_uuids, devices, record);
                     }});
    places.push_back(i);
  }
  YOKE_FAILPOINT("start.commit.before");
  const std::vector<absl::StatusOr<jobs::JobRecord>> started = store.UpdateEach(edits, jobs::Until::kWritten);
  YOKE_FAILPOINT("start.commit.after");
  for (size_t i = 0; i < started.size(); ++i) statuses[places[i]] = started[i].status();
  return statuses;
}

absl::StatusOr<ipc::AttemptSpec> MakeAttemptSpec(const LauncherOptions& options, jobs::JobStore& store, const devices::DeviceInventory& inventory,
                                                 const jobs::JobRecord& job) {
  const v1::Attempt& attempt = job.public_job.attempts(job.public_job.attempts_size() - 1);
  YOKE_ASSIGN_OR_RETURN(const std::vector<v1::Device> devices,
                        FindDevices(inventory, {attempt.device_uuids().begin(), attempt.device_uuids().end()}));
  const RankLayout layout = LayOutRanks(job.public_job.spec().device(), devices, ThisMachine(inventory));
  const std::string jobs_root = JobsRoot(options.state_dir);
  ipc::AttemptSpec spec;
  spec.job = jobs::JobName(job.id);
  spec.attempt = attempt.number();
  spec.run_id = attempt.run_id();
  spec.attempt_dir = AttemptDir(jobs_root, job.id, attempt.number());
  spec.run_dir = RunDir(jobs_root, job.id);
  spec.cache_dir = ipc::CacheDir(options.state_dir);
  spec.worker = options.worker_path;
  spec.backend = layout.gpu ? "nccl" : "gloo";
  YOKE_ASSIGN_OR_RETURN(spec.resume_from, ResumeFrom(jobs_root, store, job));
  spec.grace_seconds = options.grace_seconds;
  spec.hang_seconds = options.hang_seconds;
  spec.log_bytes_max = options.log_bytes_max;
  spec.ranks = layout.ranks;
  spec.device_words = layout.device_words;
  spec.user_set = job.user_set;
  spec.spec = jobs::SpecJson(job.public_job.spec());
  return spec;
}

absl::StatusOr<pid_t> SpawnShim(const std::string& shim_path, const AttemptFolder& folder) {
  YOKE_ASSIGN_OR_RETURN(const os::UniqueFd log, os::Open(folder.Path("shim.log"), O_WRONLY | O_CREAT | O_APPEND));
  os::SpawnOptions options;
  options.argv = {shim_path, "--spec", folder.Path("spec.json")};
  options.env = os::CurrentEnv();
  // These are the service manager's line to the daemon, not to what it starts.
  std::erase_if(options.env, [](const std::string& variable) {
    return absl::StartsWith(variable, "NOTIFY_SOCKET=") || absl::StartsWith(variable, "WATCHDOG_USEC=") || absl::StartsWith(variable, "WATCHDOG_PID=");
  });
  options.stdout_fd = log.get();
  options.stderr_fd = log.get();
  options.cwd = folder.dir();
  options.new_session = true;
  return os::Spawn(options);
}

}  // namespace yoke::launcher
