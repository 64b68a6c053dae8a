// A libnvidia-ml.so.1 that shows the GPUs of a script instead of real ones. The script is the file that
// YOKE_FAKE_NVML names, read anew with each sample (nvmlDeviceGetCount_v2), one statement a line, # comments:
//   count 4                       number of GPUs (default 4)
//   name NAME                     of all GPUs (default NVIDIA GeForce RTX 4090);   name @2 NAME   of GPU 2
//   uuid @2 GPU-…                 of GPU 2 (default GPU-0000000N-…)
//   memory 24                     GiB of each GPU
//   utilization 37                percent, of all; `utilization @2 37` of GPU 2; default: moves with time
//   process 2 4711                process 4711 computes on GPU 2
//   link 1 3                      NVLink joins GPU 1 and GPU 3
//   lost 3                        every reading of GPU 3 answers GPU_IS_LOST
//   xid 2 79                      GPU 2 reports error 79, once for each such line that is added
//   order 3 0 1                   what it lists, and in which order of its own, e.g. all but GPU 2
//   hang SECONDS                  each sample takes that long
//   driver 550.54.14              version
//   no_driver                     nvmlInit answers DRIVER_NOT_LOADED
// An empty variable or a missing file: the defaults.

#include <time.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr int kSuccess = 0;
constexpr int kInvalidArgument = 2;
constexpr int kInsufficientSize = 7;
constexpr int kDriverNotLoaded = 9;
constexpr int kTimeout = 10;
constexpr unsigned long long kXidEvent = 8;
constexpr int kGpuIsLost = 15;

struct Script {
  int count = 4;
  std::string name = "NVIDIA GeForce RTX 4090";
  std::map<int, std::string> names, uuids;
  double memory_gib = 24;
  int utilization = -1;  // moves
  std::map<int, int> utilizations;
  std::multimap<int, unsigned> processes;
  std::set<int> lost;
  std::vector<std::pair<int, unsigned>> xids;
  std::vector<int> order;  // empty: as they are
  std::set<std::pair<int, int>> links;
  double hang_seconds = 0;
  std::string driver = "550.54.14";
  bool no_driver = false;
};

std::mutex mutex;
size_t xids_told = 0;
// Never destroyed: a thread that asks may outlive main, as one does that a driver holds.
Script& script = *new Script;
std::set<int>& listened = *new std::set<int>;  // GPUs whose events somebody wants

// "@2 rest" -> 2; without "@": -1. Leaves the rest in `line`.
int TakeIndex(std::istringstream& line) {
  line >> std::ws;
  if (line.peek() != '@') return -1;
  line.get();
  int index = 0;
  line >> index;
  return index;
}

Script Read() {
  Script read;
  const char* path = std::getenv("YOKE_FAKE_NVML");
  std::ifstream file(path == nullptr ? "" : path);
  for (std::string text; std::getline(file, text);) {
    std::istringstream line(text.substr(0, text.find('#')));
    std::string word, rest;
    if (!(line >> word)) continue;
    if (word == "count") {
      line >> read.count;
    } else if (word == "name" || word == "uuid") {
      const int index = TakeIndex(line);
      std::getline(line >> std::ws, rest);
      if (word == "uuid") {
        read.uuids[index] = rest;
      } else if (index < 0) {
        read.name = rest;
      } else {
        read.names[index] = rest;
      }
    } else if (word == "memory") {
      line >> read.memory_gib;
    } else if (word == "utilization") {
      const int index = TakeIndex(line);
      line >> (index < 0 ? read.utilization : read.utilizations[index]);
    } else if (word == "process") {
      int index = 0;
      unsigned pid = 0;
      line >> index >> pid;
      read.processes.emplace(index, pid);
    } else if (word == "link") {
      int a = 0, b = 0;
      line >> a >> b;
      read.links.insert({a, b});
      read.links.insert({b, a});
    } else if (word == "lost") {
      int index = 0;
      line >> index;
      read.lost.insert(index);
    } else if (word == "xid") {
      int index = 0;
      unsigned xid = 0;
      line >> index >> xid;
      read.xids.emplace_back(index, xid);
    } else if (word == "order") {
      for (int index = 0; line >> index;) read.order.push_back(index);
    } else if (word == "hang") {
      line >> read.hang_seconds;
    } else if (word == "driver") {
      line >> read.driver;
    } else if (word == "no_driver") {
      read.no_driver = true;
    } else {
      std::fprintf(stderr, "fake NVML: unknown statement '%s' in %s\n", word.c_str(), path);
      std::abort();
    }
  }
  return read;
}

Script Current() {
  std::lock_guard<std::mutex> lock(mutex);
  return script;
}

Script Reload() {
  Script fresh = Read();
  std::lock_guard<std::mutex> lock(mutex);
  script = fresh;
  return fresh;
}

// Handles are indices + 1, so that none is null.
int IndexOf(void* device) { return static_cast<int>(reinterpret_cast<intptr_t>(device)) - 1; }

int Copy(const std::string& text, char* out, unsigned length) {
  if (text.size() + 1 > length) return kInsufficientSize;
  std::memcpy(out, text.c_str(), text.size() + 1);
  return kSuccess;
}

int UtilizationOf(const Script& now, int index) {
  if (const auto found = now.utilizations.find(index); found != now.utilizations.end()) return found->second;
  if (now.utilization >= 0) return now.utilization;
  timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  const double seconds = static_cast<double>(time.tv_sec % 3600) + static_cast<double>(time.tv_nsec) / 1e9;
  return static_cast<int>(std::lround(50 + 45 * std::sin(seconds + 1.5 * index)));
}

}  // namespace

extern "C" {

struct FakeMemory {
  unsigned long long total, free, used;
};
struct FakeUtilization {
  unsigned gpu, memory;
};
struct FakePci {
  char bus_id_legacy[16];
  unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
  char bus_id[32];
};
struct FakeProcess {
  unsigned pid;
  unsigned long long used_gpu_memory;
  unsigned gpu_instance_id, compute_instance_id;
};

int nvmlInit_v2() { return Reload().no_driver ? kDriverNotLoaded : kSuccess; }
int nvmlShutdown() { return kSuccess; }

const char* nvmlErrorString(int result) {
  switch (result) {
    case kSuccess: return "Success";
    case kInvalidArgument: return "Invalid Argument";
    case kInsufficientSize: return "Insufficient Size";
    case kDriverNotLoaded: return "Driver Not Loaded";
    case kGpuIsLost: return "GPU is lost";
    default: return "Unknown Error";
  }
}

int nvmlSystemGetDriverVersion(char* out, unsigned length) { return Copy(Current().driver, out, length); }

int nvmlDeviceGetCount_v2(unsigned* count) {
  const Script now = Reload();
  if (now.hang_seconds > 0) usleep(static_cast<useconds_t>(now.hang_seconds * 1e6));
  *count = now.order.empty() ? static_cast<unsigned>(now.count) : static_cast<unsigned>(now.order.size());
  return kSuccess;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  const Script now = Current();
  const size_t count = now.order.empty() ? static_cast<size_t>(now.count) : now.order.size();
  if (index >= count) return kInvalidArgument;
  const int gpu = now.order.empty() ? static_cast<int>(index) : now.order[index];
  *device = reinterpret_cast<void*>(static_cast<intptr_t>(gpu) + 1);
  return kSuccess;
}

int nvmlDeviceGetName(void* device, char* out, unsigned length) {
  const Script now = Current();
  const auto own = now.names.find(IndexOf(device));
  return Copy(own == now.names.end() ? now.name : own->second, out, length);
}

int nvmlDeviceGetUUID(void* device, char* out, unsigned length) {
  const Script now = Current();
  const int index = IndexOf(device);
  if (const auto own = now.uuids.find(index); own != now.uuids.end()) return Copy(own->second, out, length);
  char text[64];
  std::snprintf(text, sizeof(text), "GPU-%08x-f4c3-4090-8000-0000000000%02x", 0x10000000 + index, index);
  return Copy(text, out, length);
}

int nvmlDeviceGetPciInfo_v3(void* device, FakePci* pci) {
  *pci = {};
  pci->bus = static_cast<unsigned>(IndexOf(device)) + 1;
  std::snprintf(pci->bus_id, sizeof(pci->bus_id), "00000000:%02X:00.0", pci->bus);
  return kSuccess;
}

int nvmlDeviceGetCudaComputeCapability(void*, int* major, int* minor) {
  *major = 8;
  *minor = 9;
  return kSuccess;
}

int nvmlDeviceGetMemoryInfo(void* device, FakeMemory* memory) {
  const Script now = Current();
  if (now.lost.count(IndexOf(device)) > 0) return kGpuIsLost;
  memory->total = static_cast<unsigned long long>(now.memory_gib * (1 << 30));
  memory->used = memory->total / 100 * static_cast<unsigned long long>(UtilizationOf(now, IndexOf(device)));
  memory->free = memory->total - memory->used;
  return kSuccess;
}

int nvmlDeviceGetUtilizationRates(void* device, FakeUtilization* utilization) {
  const Script now = Current();
  if (now.lost.count(IndexOf(device)) > 0) return kGpuIsLost;
  utilization->gpu = static_cast<unsigned>(UtilizationOf(now, IndexOf(device)));
  utilization->memory = utilization->gpu / 2;
  return kSuccess;
}

int nvmlDeviceGetPowerUsage(void* device, unsigned* milliwatts) {
  const Script now = Current();
  if (now.lost.count(IndexOf(device)) > 0) return kGpuIsLost;
  *milliwatts = static_cast<unsigned>(30000 + 4000 * UtilizationOf(now, IndexOf(device)));
  return kSuccess;
}

int nvmlDeviceGetTemperature(void* device, int, unsigned* celsius) {
  const Script now = Current();
  if (now.lost.count(IndexOf(device)) > 0) return kGpuIsLost;
  *celsius = static_cast<unsigned>(35 + UtilizationOf(now, IndexOf(device)) / 3);
  return kSuccess;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned* count, FakeProcess* processes) {
  const Script now = Current();
  const auto [first, last] = now.processes.equal_range(IndexOf(device));
  const auto size = static_cast<unsigned>(std::distance(first, last));
  const unsigned room = *count;
  *count = size;
  if (size > room) return kInsufficientSize;
  unsigned i = 0;
  for (auto it = first; it != last; ++it) processes[i++] = {it->second, 1ull << 30, 0, 0};
  return kSuccess;
}

struct FakeEvent {
  void* device;
  unsigned long long type, data;
  unsigned gpu_instance_id, compute_instance_id;
};

int nvmlEventSetCreate(void** set) {
  *set = &listened;
  return kSuccess;
}

int nvmlDeviceRegisterEvents(void* device, unsigned long long types, void*) {
  std::lock_guard<std::mutex> lock(mutex);
  if (types != kXidEvent) return kInvalidArgument;
  listened.insert(IndexOf(device));
  return kSuccess;
}

int nvmlEventSetWait_v2(void*, FakeEvent* event, unsigned) {
  std::lock_guard<std::mutex> lock(mutex);
  if (xids_told > script.xids.size()) xids_told = script.xids.size();
  while (xids_told < script.xids.size()) {
    const auto [gpu, xid] = script.xids[xids_told++];
    if (listened.count(gpu) == 0) continue;
    *event = {reinterpret_cast<void*>(static_cast<intptr_t>(gpu) + 1), kXidEvent, xid, 0, 0};
    return kSuccess;
  }
  return kTimeout;
}

int nvmlDeviceGetP2PStatus(void* one, void* other, int capability, int* status) {
  constexpr int kByNvLink = 2, kWorks = 0, kNotSupported = 5;
  if (capability != kByNvLink) return kInvalidArgument;
  *status = Current().links.count({IndexOf(one), IndexOf(other)}) > 0 ? kWorks : kNotSupported;
  return kSuccess;
}

}  // extern "C"
