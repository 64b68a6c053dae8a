#include "server/daemon/core.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/os/file.h"
#include "common/os/self_path.h"
#include "server/daemon/control.h"
#include "server/daemon/dispatcher.h"
#include "server/daemon/state_folder.h"
#include "server/launcher/attempt_folder.h"
#include "server/launcher/launcher.h"
#include "server/store/job_store_sqlite.h"

namespace yoke::daemon {
namespace {

// As configured, or beside this program; absolute.
absl::StatusOr<std::string> ProgramPath(const std::string& configured, const char* name) {
  if (!configured.empty()) return std::filesystem::absolute(configured).lexically_normal().string();
  YOKE_ASSIGN_OR_RETURN(const std::string folder, os::SelfFolder());
  return absl::StrCat(folder, "/", name);
}

class ComposedCore : public Core {
 public:
  ComposedCore(StateFolder folder, std::unique_ptr<jobs::JobStore> store, std::unique_ptr<devices::DeviceInventory> inventory,
               const launcher::LauncherOptions& launching, const ControlOptions& controlling)
      : folder_(std::move(folder)),
        store_(std::move(store)),
        inventory_(std::move(inventory)),
        launcher_(launcher::MakeLauncher(launching, *store_, *inventory_)),
        control_(MakeControl(controlling, *store_, *inventory_, *launcher_)) {}

  ~ComposedCore() override { End(); }

  absl::Status Begin(std::function<void()> jobs_changed, std::function<void()> devices_changed) override {
    YOKE_RETURN_IF_ERROR(launcher_->Begin());
    dispatcher_ = std::make_unique<Dispatcher>(*store_, *inventory_, *launcher_);
    store_->SetListener([this, jobs_changed = std::move(jobs_changed)] {
      dispatcher_->Wake();
      jobs_changed();
    });
    inventory_->SetListener([this, devices_changed = std::move(devices_changed)] {
      dispatcher_->Wake();
      launcher_->DevicesChanged();
      devices_changed();
    });
    dispatcher_->Wake();  // for what changed before the listeners were there
    return absl::OkStatus();
  }

  void End() override {
    inventory_->SetListener(nullptr);
    store_->SetListener(nullptr);
    dispatcher_.reset();
  }

  jobs::JobStore& store() override { return *store_; }
  jobs::JobControl& control() override { return *control_; }
  devices::DeviceInventory& inventory() override { return *inventory_; }

 private:
  // In this order; destroyed in reverse.
  const StateFolder folder_;
  const std::unique_ptr<jobs::JobStore> store_;
  const std::unique_ptr<devices::DeviceInventory> inventory_;
  const std::unique_ptr<launcher::Launcher> launcher_;
  const std::unique_ptr<jobs::JobControl> control_;
  std::unique_ptr<Dispatcher> dispatcher_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Core>> Core::Open(const Config& config) {
  const std::string state = std::filesystem::absolute(config.state).lexically_normal().string();
  launcher::LauncherOptions launching;
  launching.state_dir = state;
  launching.attempts_max = config.attempts_max;
  launching.grace_seconds = config.grace_seconds;
  launching.hang_seconds = config.hang_seconds;
  YOKE_ASSIGN_OR_RETURN(launching.worker_path, ProgramPath(config.worker_path, "yoke-worker"));
  YOKE_ASSIGN_OR_RETURN(launching.shim_path, ProgramPath(config.shim_path, "yoke-shim"));
  YOKE_ASSIGN_OR_RETURN(StateFolder folder, OpenStateFolder(state));
  YOKE_ASSIGN_OR_RETURN(std::unique_ptr<jobs::JobStore> store,
                        store::OpenJobStore({.path = state + "/yoke.db", .must_exist = folder.had_jobs}));
  YOKE_RETURN_IF_ERROR(os::MakeDirs(launcher::JobsRoot(state)));
  devices::InventoryOptions devices;
  devices.nvml_library = config.nvml;
  devices.cpu_slots = config.cpu_slots;
  const ControlOptions controlling{state, launching.worker_path, absl::Seconds(config.prepare_timeout_seconds)};
  return std::make_unique<ComposedCore>(std::move(folder), std::move(store), devices::MakeInventory(devices), launching, controlling);
}

}  // namespace yoke::daemon
