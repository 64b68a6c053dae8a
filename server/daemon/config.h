// The daemon's configuration: defaults, over them a YAML file, over it the environment, over it flags.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace yoke::daemon {

struct Config {
  std::string state;        // folder of jobs and database
  std::string socket;       // unix socket
  std::string listen;       // HOST:PORT on loopback; empty: no TCP
  std::string nvml;         // library; empty: the system's; "none": no GPUs
  int cpu_slots = 0;        // 0: one per core, at most 8
  std::string worker_path;  // empty: yoke-worker beside this program
  std::string shim_path;    // empty: yoke-shim beside this program
  std::string log_level = "info";
  int attempts_max = 3;            // tries of a job that was lost, hung or lost its device
  int attempts_max_failed = 1;     // tries of a job whose program failed by itself
  int backup_seconds = 3600;       // between copies of the database; 0: none
  int queue_length_max = 10000;    // open jobs
  std::string queues;              // "night=2,day": beside the default one
  int owner_running_max = 0;       // 0: no limit
  int usage_half_life_hours = 24;  // of an owner's share
  int preempt_after_seconds = 600;
  int grace_seconds = 10;          // between asking ranks to stop and killing them
  int prepare_timeout_seconds = 120;
  std::string containment = "auto";  // "auto": control groups where we may; "subreaper": never
  int processes_max = 4096;        // of one attempt
  int log_megabytes_max = 1024;    // of each rank's log; 0: no limit
  int hang_seconds = 120;          // without progress of a training step; other phases get more; 0: never
};

// One setting: `worker_path` in YAML, YOKE_WORKER_PATH, --worker-path.
struct ConfigKey {
  std::string name;
  std::string help;
  std::function<absl::Status(Config&, const std::string& value)> set;
  std::function<std::string(const Config&)> get;
  std::string Flag() const;      // "--worker-path"
  std::string Variable() const;  // "YOKE_WORKER_PATH"
};
const std::vector<ConfigKey>& ConfigKeys();

using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// What a user gets without any setting. Needs the environment for the XDG folders.
Config DefaultConfig(const Environment& environment, bool root);

// InvalidArgument names file, key and what it takes; an unknown key names the nearest.
absl::Status ApplyYaml(const std::string& path, Config& config);
absl::Status ApplyEnvironment(const Environment& environment, Config& config);
// By key name.
absl::Status ApplyValue(const std::string& name, const std::string& value, Config& config);

// YAML with every key.
std::string PrintConfig(const Config& config);

}  // namespace yoke::daemon
