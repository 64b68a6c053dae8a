#include "server/daemon/config.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_macros.h"
#include "common/os/file.h"
#include "yaml-cpp/yaml.h"

namespace yoke::daemon {
namespace {

ConfigKey Text(const char* name, const char* help, std::string Config::*member) {
  return {name, help,
          [member](Config& config, const std::string& value) {
            config.*member = value;
            return absl::OkStatus();
          },
          [member](const Config& config) { return config.*member; }};
}

ConfigKey Number(const char* name, const char* help, int Config::*member, int min, int max) {
  return {name, help,
          [member, min, max](Config& config, const std::string& value) {
            int number = 0;
            if (!absl::SimpleAtoi(value, &number) || number < min || number > max) {
              return absl::InvalidArgumentError(absl::StrCat("takes a number from ", min, " to ", max, ", not '", value, "'"));
            }
            config.*member = number;
            return absl::OkStatus();
          },
          [member](const Config& config) { return absl::StrCat(config.*member); }};
}

size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

const std::string& NearestKey(const std::string& name) {
  const std::vector<ConfigKey>& keys = ConfigKeys();
  return std::min_element(keys.begin(), keys.end(), [&](const ConfigKey& a, const ConfigKey& b) {
           return EditDistance(name, a.name) < EditDistance(name, b.name);
         })->name;
}

}  // namespace

std::string ConfigKey::Flag() const { return "--" + absl::StrReplaceAll(name, {{"_", "-"}}); }
std::string ConfigKey::Variable() const { return "YOKE_" + absl::AsciiStrToUpper(name); }

const std::vector<ConfigKey>& ConfigKeys() {
  static const std::vector<ConfigKey> keys = {
      Text("state", "folder of jobs and database", &Config::state),
      Text("socket", "unix socket to serve on", &Config::socket),
      Text("listen", "also serve on this loopback HOST:PORT; callers need the token in STATE/token", &Config::listen),
      Text("nvml", "NVML library; \"none\" shows no GPUs", &Config::nvml),
      Number("cpu_slots", "CPU slots; 0: one per core, at most 8", &Config::cpu_slots, 0, 1024),
      Text("worker_path", "yoke-worker; default: beside yoked", &Config::worker_path),
      Text("shim_path", "yoke-shim; default: beside yoked", &Config::shim_path),
      Text("log_level", "trace, debug, info, warning, error or off", &Config::log_level),
      Number("attempts_max", "tries of a job that was lost, hung or lost its device", &Config::attempts_max, 1, 100),
      Number("attempts_max_failed", "tries of a job whose program failed by itself; bad input is never tried again", &Config::attempts_max_failed, 1,
             100),
      Number("backup_seconds", "time between copies of the database in STATE/backups, of which three are kept; 0: none", &Config::backup_seconds, 0,
             31'536'000),
      Number("queue_length_max", "jobs that may be open at once", &Config::queue_length_max, 1, 10'000'000),
      Text("queues", "queues beside \"default\", with the jobs of each that may run at once: night=2,day", &Config::queues),
      Number("owner_running_max", "jobs of one owner that may run at once; 0: no limit", &Config::owner_running_max, 0, 1'000'000),
      Number("usage_half_life_hours", "after so long what an owner used counts half against him", &Config::usage_half_life_hours, 1, 100'000),
      Number("preempt_after_seconds", "an attempt runs so long before one of higher priority may stop it", &Config::preempt_after_seconds, 0, 1'000'000),
      Number("grace_seconds", "time ranks get to save and end", &Config::grace_seconds, 0, 3600),
      Text("containment", "auto: a control group for each attempt where this daemon may make some; subreaper: none", &Config::containment),
      Number("processes_max", "processes and threads that one attempt may have", &Config::processes_max, 16, 4'000'000),
      Number("prepare_timeout_seconds", "time a check of data and weights may take", &Config::prepare_timeout_seconds, 1, 86400),
      Number("log_megabytes_max", "size of a rank's log, beyond which its oldest part is given up; 0: no limit", &Config::log_megabytes_max, 0, 1'000'000),
      Number("hang_seconds", "training step without progress that counts as a hang; first steps, saving and validation get 5 times that; 0: never",
             &Config::hang_seconds, 0, 86400),
  };
  return keys;
}

Config DefaultConfig(const Environment& environment, bool root) {
  const auto variable = [&](const char* name, const std::string& otherwise) {
    const std::optional<std::string> value = environment(name);
    return value && !value->empty() ? *value : otherwise;
  };
  Config config;
  if (root) {
    config.state = "/var/lib/yoke";
    config.socket = "/run/yoke/yoke.sock";
  } else {
    config.state = variable("XDG_STATE_HOME", variable("HOME", "") + "/.local/state") + "/yoke";
    config.socket = variable("XDG_RUNTIME_DIR", absl::StrCat("/run/user/", geteuid())) + "/yoke.sock";
  }
  return config;
}

absl::Status ApplyValue(const std::string& name, const std::string& value, Config& config) {
  for (const ConfigKey& key : ConfigKeys()) {
    if (key.name != name) continue;
    const absl::Status set = key.set(config, value);
    return set.ok() ? set : absl::InvalidArgumentError(absl::StrCat(name, ": ", set.message()));
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown key '", name, "'; the nearest is '", NearestKey(name), "'"));
}

absl::Status ApplyYaml(const std::string& path, Config& config) {
  YOKE_ASSIGN_OR_RETURN(const std::string text, os::ReadFile(path));
  try {
    const YAML::Node root = YAML::Load(text);
    if (root.IsNull()) return absl::OkStatus();
    if (!root.IsMap()) return absl::InvalidArgumentError(absl::StrCat(path, ": must be lines of the form 'key: value'"));
    for (const auto& entry : root) {
      const std::string where = absl::StrCat(path, ":", entry.first.Mark().line + 1, ": ");
      if (!entry.second.IsScalar()) return absl::InvalidArgumentError(absl::StrCat(where, entry.first.Scalar(), " must be one value"));
      const absl::Status applied = ApplyValue(entry.first.Scalar(), entry.second.Scalar(), config);
      if (!applied.ok()) return absl::InvalidArgumentError(absl::StrCat(where, applied.message()));
    }
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", error.what()));
  }
  return absl::OkStatus();
}

absl::Status ApplyEnvironment(const Environment& environment, Config& config) {
  for (const ConfigKey& key : ConfigKeys()) {
    const std::optional<std::string> value = environment(key.Variable());
    if (!value) continue;
    if (const absl::Status set = key.set(config, *value); !set.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(key.Variable(), ": ", set.message()));
    }
  }
  return absl::OkStatus();
}

std::string PrintConfig(const Config& config) {
  YAML::Emitter out;
  out << YAML::BeginMap;
  for (const ConfigKey& key : ConfigKeys()) out << YAML::Key << key.name << YAML::Value << key.get(config) << YAML::Comment(key.help);
  out << YAML::EndMap;
  return absl::StrCat(out.c_str(), "\n");
}

}  // namespace yoke::daemon
