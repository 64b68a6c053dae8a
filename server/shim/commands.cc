#include "server/shim/commands.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace yoke::shim {
namespace {

// Devices as CUDA takes them; CPU slots are none, so that a rank on them sees no GPU.
std::string CudaDevices(const std::vector<std::string>& devices) {
  std::vector<std::string> gpus;
  for (const std::string& device : devices) {
    if (!device.starts_with("cpu:")) gpus.push_back(device);
  }
  return absl::StrJoin(gpus, ",");
}

std::vector<std::string> CommonEnv(const ipc::AttemptSpec& spec,
                                   const std::vector<std::string>& devices, int threads) {
  std::vector<std::string> env = os::CurrentEnv();
  os::SetEnv(env, ipc::kRunIdVariable, spec.run_id);
  os::SetEnv(env, ipc::kSpecVariable, absl::StrCat(spec.attempt_dir, "/spec.json"));
  os::SetEnv(env, "CUDA_DEVICE_ORDER", "PCI_BUS_ID");
  os::SetEnv(env, "CUDA_VISIBLE_DEVICES", CudaDevices(devices));
  os::SetEnv(env, "OMP_NUM_THREADS", absl::StrCat(threads));
  // Threads that wait for each other spin this long before they sleep. The library's default spins
  // for milliseconds, and on cores that somebody else uses too a training falls to a twentieth.
  os::SetEnv(env, "GOMP_SPINCOUNT", "2000");
  // Ranks of one machine talk over loopback, whatever the host's name resolves to.
  os::SetEnv(env, "GLOO_SOCKET_IFNAME", "lo");
  os::SetEnv(env, "NCCL_SOCKET_IFNAME", "lo");
  return env;
}

}  // namespace

int64_t UserProcessesMax(const ipc::AttemptSpec& spec) {
  // The kernel counts those of the user, not of the attempt, and lets root have more.
  if (spec.processes_max <= 0 || getuid() == 0) return 0;
  return os::CountThreadsOfUser() + spec.processes_max;
}

Command PrepareCommand(const ipc::AttemptSpec& spec, int64_t user_processes_max) {
  std::vector<std::string> devices;
  int threads = 0;
  for (const ipc::RankSpec& rank : spec.ranks) {
    devices.insert(devices.end(), rank.devices.begin(), rank.devices.end());
    threads += rank.threads;
  }
  Command command;
  command.rank = -1;
  command.argv = {spec.worker, "--prepare", "--spec", absl::StrCat(spec.attempt_dir, "/spec.json")};
  command.env = CommonEnv(spec, devices, threads);
  command.cwd = spec.attempt_dir;
  command.cgroup = spec.cgroup;
  command.user_processes_max = user_processes_max;
  command.log = absl::StrCat(spec.attempt_dir, "/prepare.log");
  return command;
}

std::vector<Command> RankCommands(const ipc::AttemptSpec& spec, int64_t user_processes_max) {
  std::vector<Command> commands;
  for (size_t i = 0; i < spec.ranks.size(); ++i) {
    const int rank = static_cast<int>(i);
    Command command;
    command.rank = rank;
    command.argv = {spec.worker, "--spec", absl::StrCat(spec.attempt_dir, "/spec.json")};
    command.env = CommonEnv(spec, spec.ranks[i].devices, spec.ranks[i].threads);
    os::SetEnv(command.env, "RANK", absl::StrCat(rank));
    os::SetEnv(command.env, "LOCAL_RANK", absl::StrCat(rank));
    os::SetEnv(command.env, "WORLD_SIZE", absl::StrCat(spec.ranks.size()));
    command.cwd = spec.attempt_dir;
    command.cgroup = spec.cgroup;
    command.user_processes_max = user_processes_max;
    command.log = absl::StrCat(spec.attempt_dir, "/", ipc::RankLogName(rank));
    commands.push_back(std::move(command));
  }
  return commands;
}

}  // namespace yoke::shim
