#include "server/service/system_check.h"

#include <sched.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"

namespace yoke::service {
namespace {

using Item = v1::CheckSystemResponse::Item;

constexpr int64_t kGiB = int64_t{1} << 30;
constexpr int64_t kMemoryMin = 4 * kGiB;  // of a small training with its loaders
constexpr int64_t kDiskLow = 10 * kGiB;   // a training of the largest model keeps about 2 GiB
constexpr int64_t kDiskMin = kGiB;

Item& Add(v1::CheckSystemResponse& response, const std::string& name, Item::Verdict verdict,
          const std::string& message) {
  Item& item = *response.add_items();
  item.set_name(name);
  item.set_verdict(verdict);
  item.set_message(message);
  return item;
}

std::string GiB(int64_t bytes) {
  return absl::StrFormat("%.1f GiB", static_cast<double>(bytes) / kGiB);
}

// "MemTotal:  16384 kB" of /proc/meminfo in bytes; 0 if it is not there.
int64_t MemoryLine(const std::string& name) {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    int64_t kib = 0;
    if (words.size() >= 2 && words[0] == name + ":" && absl::SimpleAtoi(words[1], &kib))
      return kib * 1024;
  }
  return 0;
}

int CoresForUs() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

void CheckDisk(const std::string& folder, v1::CheckSystemResponse& response) {
  struct statvfs disk;
  if (statvfs(folder.c_str(), &disk) != 0) {
    Add(response, "disk", Item::FAILED,
        absl::StrCat("the state folder ", folder, " cannot be looked at: ", std::strerror(errno)));
    return;
  }
  const int64_t free = static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
  const Item::Verdict verdict = free < kDiskMin   ? Item::FAILED
                                : free < kDiskLow ? Item::WARNING
                                                  : Item::OK;
  Item& item =
      Add(response, "disk", verdict,
          absl::StrCat(
              GiB(free), " free in ", folder,
              verdict == Item::OK ? "" : "; weights and logs of trainings go there: make room"));
  (*item.mutable_fields())["freeBytes"] = absl::StrCat(free);
}

std::string TextOf(const nlohmann::json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

void CheckMachine(const ServerFacts& facts, v1::CheckSystemResponse& response) {
  Add(response, "yoked", Item::OK,
      absl::StrCat("version ", facts.version, ", state in ", facts.state_dir));
  for (const std::string& warning : facts.warnings) Add(response, "state", Item::WARNING, warning);
  Add(response, "containment", Item::OK, facts.containment);
  const int cores = CoresForUs();
  (*Add(response, "cpu", Item::OK, absl::StrCat(cores, cores == 1 ? " core" : " cores"))
        .mutable_fields())["cores"] = absl::StrCat(cores);
  const int64_t total = MemoryLine("MemTotal"), available = MemoryLine("MemAvailable");
  Item& memory = Add(
      response, "memory", available < kMemoryMin ? Item::WARNING : Item::OK,
      absl::StrCat(GiB(available), " of ", GiB(total), " available",
                   available < kMemoryMin ? "; trainings of larger models may run out of it" : ""));
  (*memory.mutable_fields())["totalBytes"] = absl::StrCat(total);
  (*memory.mutable_fields())["availableBytes"] = absl::StrCat(available);
  CheckDisk(facts.state_dir, response);
}

void CheckDevices(const devices::DeviceInventory& inventory, v1::CheckSystemResponse& response) {
  const std::string version = inventory.DriverVersion(), problem = inventory.DriverProblem();
  if (inventory.has_gpus()) {
    Add(response, "driver", problem.empty() ? Item::OK : Item::FAILED,
        problem.empty() ? absl::StrCat("NVIDIA ", version) : problem);
  } else {
    Add(response, "driver", Item::OK,
        absl::StrCat("no GPUs; jobs run on the CPU",
                     problem.empty() ? "" : absl::StrCat(" (", problem, ")")));
  }
  for (const v1::Device& device : inventory.Devices()) {
    if (device.kind() != v1::Device::GPU) continue;
    const bool given_out = device.state() != v1::Device::DRAINED && device.state() != v1::Device::BUSY_FOREIGN;
    const Item::Verdict verdict = device.failed() ? Item::FAILED
                                  : given_out     ? Item::OK
                                                  : Item::WARNING;
    Item& item = Add(response, absl::StrCat("gpu ", device.index()), verdict,
                     absl::StrCat(device.name(), ", ", GiB(device.memory_total_bytes()),
                                  device.message().empty() ? "" : ": ", device.message()));
    (*item.mutable_fields())["uuid"] = device.uuid();
    (*item.mutable_fields())["computeCapability"] = device.compute_capability();
    (*item.mutable_fields())["pciBusId"] = device.pci_bus_id();
  }
}

void CheckWorker(const absl::StatusOr<std::string>& probe, bool has_gpus,
                 v1::CheckSystemResponse& response) {
  const nlohmann::json answer =
      probe.ok() ? nlohmann::json::parse(*probe, nullptr, false) : nlohmann::json();
  if (!answer.is_object()) {
    Add(response, "worker", Item::FAILED,
        probe.ok() ? "yoke-worker --probe printed no JSON object"
                   : std::string(probe.status().message()));
    return;
  }
  Item& worker = Add(response, "worker", Item::OK, "yoke-worker starts");
  for (const auto& [name, value] : answer.items()) (*worker.mutable_fields())[name] = TextOf(value);
  const bool torch = answer.contains("torch");
  Add(response, "libtorch", torch ? Item::OK : Item::FAILED,
      torch ? TextOf(answer["torch"]) : "yoke-worker names no LibTorch");
  const bool cuda =
      answer.contains("cuda") && (answer["cuda"] == true || answer["cuda"].is_object());
  if (cuda) {
    Add(response, "cuda", Item::OK, "LibTorch computes on the GPUs");
    return;
  }
  const std::string why = answer.contains("cuda") && answer["cuda"].is_string()
                              ? absl::StrCat(": ", answer["cuda"].get<std::string>())
                              : "";
  Add(response, "cuda", has_gpus ? Item::FAILED : Item::OK,
      has_gpus
          ? absl::StrCat("there are GPUs, but LibTorch cannot use them", why,
                         why.empty() ? "; fetch the CUDA flavour of LibTorch (deploy/deps)" : "")
          : absl::StrCat("not used", why));
}

}  // namespace yoke::service
