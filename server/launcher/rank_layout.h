// Devices -> ranks: who computes where, with how many threads, and what the banner calls it.
#pragma once

#include <string>
#include <vector>

#include "common/ipc/attempt_files.h"
#include "yoke/v1/device.pb.h"

namespace yoke::launcher {

struct Machine {
  int cores = 1;
  int gpus = 0;
};

struct RankLayout {
  std::vector<ipc::RankSpec> ranks;
  std::vector<std::string> device_words;  // one per rank
  bool gpu = false;
};

// One rank per device, except that `cpu` (and `auto` without GPUs) is one rank that holds every slot and has all
// cores. REQUIRES: `devices` is not empty and of one kind.
RankLayout LayOutRanks(const std::string& device_string, const std::vector<v1::Device>& devices, const Machine& machine);

// "GPU 0,2", "CPU slot 1".
std::string DeviceWords(const std::vector<v1::Device>& devices);

}  // namespace yoke::launcher
