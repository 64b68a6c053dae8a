#include "server/daemon/core.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/os/file.h"
#include "common/os/self_path.h"
#include "server/daemon/automatic_backup.h"
#include "server/daemon/control.h"
#include "server/daemon/dispatcher.h"
#include "server/daemon/recovery.h"
#include "server/daemon/state_folder.h"
#include "server/devices/drains.h"
#include "server/launcher/attempt_folder.h"
#include "server/launcher/launcher.h"
#include "server/launcher/short_run.h"
#include "server/store/job_store_sqlite.h"
#include "server/store/rebuild.h"
#include "spdlog/spdlog.h"

namespace yoke::daemon {
namespace {

// As configured, or beside this program; absolute.
absl::StatusOr<std::string> ProgramPath(const std::string& configured, const char* name) {
  if (!configured.empty()) return std::filesystem::absolute(configured).lexically_normal().string();
  YOKE_ASSIGN_OR_RETURN(const std::string folder, os::SelfFolder());
  return absl::StrCat(folder, "/", name);
}

// The store, brought up to the journal and to what the attempts say; `warnings` hears what that took.
absl::StatusOr<std::unique_ptr<jobs::JobStore>> OpenStore(const std::string& state, bool had_jobs, std::vector<std::string>& warnings) {
  const std::string database = state + "/yoke.db", jobs_root = launcher::JobsRoot(state);
  store::StoreOptions options;
  options.path = database;
  options.must_exist = had_jobs || os::FileExists(store::JournalPath(database));
  options.jobs_elsewhere = HasAttempts(jobs_root);
  YOKE_ASSIGN_OR_RETURN(std::unique_ptr<jobs::JobStore> store, store::OpenJobStore(options, &warnings));
  YOKE_RETURN_IF_ERROR(os::MakeDirs(jobs_root));
  YOKE_ASSIGN_OR_RETURN(const std::vector<std::string> taken_up, TakeUpAttempts(jobs_root, *store));
  warnings.insert(warnings.end(), taken_up.begin(), taken_up.end());
  for (const std::string& warning : warnings) spdlog::warn("{}", warning);
  for (const std::string& copy : store::DamagedCopies(database)) {
    if (!warnings.empty()) break;
    warnings.push_back(absl::StrCat("a damaged database was put aside as ", copy, "; delete it when you do not need it any longer"));
  }
  return store;
}

class ComposedCore : public Core {
 public:
  ComposedCore(StateFolder folder, std::vector<std::string> warnings, std::unique_ptr<jobs::JobStore> store,
               std::unique_ptr<devices::DeviceInventory> inventory, const launcher::LauncherOptions& launching,
               const ControlOptions& controlling, DeskOptions scheduling, absl::Duration backup_every)
      : backup_every_(backup_every),
        database_(launching.state_dir + "/yoke.db"),
        folder_(std::move(folder)),
        warnings_(std::move(warnings)),
        store_(std::move(store)),
        inventory_(std::move(inventory)),
        launcher_(launcher::MakeLauncher(launching, *store_, *inventory_)),
        desk_(std::move(scheduling), *store_, *inventory_),
        control_(MakeControl(controlling, *store_, *inventory_, *launcher_, desk_)) {}

  ~ComposedCore() override { End(); }

  absl::Status Begin(std::function<void()> jobs_changed, std::function<void()> devices_changed) override {
    YOKE_RETURN_IF_ERROR(launcher_->Begin());
    dispatcher_ = std::make_unique<Dispatcher>(*store_, *inventory_, *launcher_, desk_);
    store_->SetListener([this, jobs_changed = std::move(jobs_changed)](bool planned) {
      if (planned) dispatcher_->Wake();
      jobs_changed();
    });
    inventory_->SetListener([this, devices_changed = std::move(devices_changed)] {
      dispatcher_->Wake();
      launcher_->DevicesChanged();
      devices_changed();
    });
    backup_ = std::make_unique<AutomaticBackup>(*store_, database_, backup_every_);
    dispatcher_->Wake();  // for what changed before the listeners were there
    return absl::OkStatus();
  }

  void End() override {
    backup_.reset();
    inventory_->SetListener(nullptr);
    store_->SetListener(nullptr);
    dispatcher_.reset();
  }

  std::string Stuck(absl::Duration limit) override {
    if (const auto leases = store_->ListLeases(); !leases.ok()) return absl::StrCat("the database cannot be read: ", leases.status().message());
    const auto stuck = [limit](const char* what, const os::Pulse& pulse) {
      const absl::Duration busy = absl::Milliseconds(pulse.BusyMs());
      return busy < limit ? std::string() : absl::StrCat("the ", what, " has been at the same work for ", absl::ToInt64Seconds(busy), " s");
    };
    const std::string launcher = stuck("launcher", launcher_->pulse());
    if (!launcher.empty() || dispatcher_ == nullptr) return launcher;
    return stuck("dispatcher", dispatcher_->pulse());
  }

  const std::vector<std::string>& warnings() const override { return warnings_; }
  jobs::JobStore& store() override { return *store_; }
  jobs::JobControl& control() override { return *control_; }
  devices::DeviceInventory& inventory() override { return *inventory_; }
  const std::string& containment() const override { return launcher_->containment(); }

 private:
  const absl::Duration backup_every_;
  const std::string database_;
  // In this order; destroyed in reverse.
  const StateFolder folder_;
  const std::vector<std::string> warnings_;
  const std::unique_ptr<jobs::JobStore> store_;
  const std::unique_ptr<devices::DeviceInventory> inventory_;
  const std::unique_ptr<launcher::Launcher> launcher_;
  SchedulingDesk desk_;
  const std::unique_ptr<jobs::JobControl> control_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<AutomaticBackup> backup_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Core>> Core::Open(const Config& config) {
  const std::string state = std::filesystem::absolute(config.state).lexically_normal().string();
  launcher::LauncherOptions launching;
  launching.state_dir = state;
  launching.tries = {config.attempts_max, config.attempts_max_failed};
  launching.grace_seconds = config.grace_seconds;
  launching.hang_seconds = config.hang_seconds;
  launching.processes_max = config.processes_max;
  launching.use_cgroups = config.containment == "auto";
  launching.log_bytes_max = int64_t{config.log_megabytes_max} << 20;
  YOKE_ASSIGN_OR_RETURN(launching.worker_path, ProgramPath(config.worker_path, "yoke-worker"));
  YOKE_ASSIGN_OR_RETURN(launching.shim_path, ProgramPath(config.shim_path, "yoke-shim"));
  DeskOptions scheduling;
  scheduling.policy.owner_running_max = config.owner_running_max;
  scheduling.policy.half_life = config.usage_half_life_hours * 3600.0;
  scheduling.policy.min_run_time = config.preempt_after_seconds;
  scheduling.preempt_grace_seconds = config.grace_seconds;
  YOKE_RETURN_IF_ERROR(ParseQueues(config.queues, scheduling));
  YOKE_ASSIGN_OR_RETURN(StateFolder folder, OpenStateFolder(state));
  os::RemoveUnfinished(state);
  launcher::EndShortRuns(ScratchRoot(state));
  std::vector<std::string> warnings;
  YOKE_ASSIGN_OR_RETURN(std::unique_ptr<jobs::JobStore> store, OpenStore(state, folder.had_jobs, warnings));
  devices::InventoryOptions devices;
  devices.nvml_library = config.nvml;
  devices.cpu_slots = config.cpu_slots;
  devices.state_dir = state;
  YOKE_ASSIGN_OR_RETURN(devices.drains, devices::Drains::Open(state + "/devices.json"));
  const ControlOptions controlling{state, launching.worker_path,
                                   absl::Seconds(config.prepare_timeout_seconds),
                                   absl::Seconds(config.grace_seconds)};
  return std::make_unique<ComposedCore>(std::move(folder), std::move(warnings), std::move(store), devices::MakeInventory(devices), launching,
                                        controlling, std::move(scheduling), absl::Seconds(config.backup_seconds));
}

}  // namespace yoke::daemon
