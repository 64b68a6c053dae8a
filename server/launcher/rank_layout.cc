#include "server/launcher/rank_layout.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace yoke::launcher {
namespace {

bool MeansWholeCpu(const std::string& device_string) {
  const std::string word = absl::AsciiStrToLower(absl::StripAsciiWhitespace(device_string));
  return word == "cpu" || word == "auto" || word == "all";
}

}  // namespace

RankLayout LayOutRanks(const std::string& device_string, const std::vector<v1::Device>& devices, const Machine& machine) {
  RankLayout layout;
  layout.gpu = devices[0].kind() == v1::Device::GPU;
  if (!layout.gpu && MeansWholeCpu(device_string)) {
    ipc::RankSpec rank;
    rank.threads = machine.cores;
    for (const v1::Device& slot : devices) rank.devices.push_back(slot.uuid());
    layout.ranks.push_back(std::move(rank));
    layout.device_words.push_back(absl::StrCat("CPU (", machine.cores, machine.cores == 1 ? " core)" : " cores)"));
    return layout;
  }
  for (const v1::Device& device : devices) {
    const int threads = layout.gpu ? machine.cores / std::max(1, machine.gpus) : device.threads();
    layout.ranks.push_back({{device.uuid()}, std::max(1, threads)});
    layout.device_words.push_back(layout.gpu ? absl::StrCat("GPU ", device.index(), ": ", device.name())
                                             : absl::StrCat("CPU slot ", device.index()));
  }
  return layout;
}

std::string DeviceWords(const std::vector<v1::Device>& devices) {
  if (devices.empty()) return "";
  return absl::StrCat(devices[0].kind() == v1::Device::GPU ? "GPU " : "CPU slot ",
                      absl::StrJoin(devices, ",", [](std::string* out, const v1::Device& device) { absl::StrAppend(out, device.index()); }));
}

}  // namespace yoke::launcher
