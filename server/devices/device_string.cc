#include "server/devices/device_string.h"

#include <algorithm>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"

namespace yoke::devices {
namespace {

using Devices = std::vector<v1::Device>;
using Words = std::vector<std::string>;

constexpr char kForms[] = "auto, all, cpu, 0 or 0,2 (indices), cpu:0,1 (CPU slots), GPU-<uuid>, -1 (an idle one), gpus:2 (any two)";
constexpr int kDigitsMax = 4;

absl::Status Refuse(const char* reason, std::string message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload("yoke.reason", absl::Cord(reason));
  return status;
}

absl::Status Mangled(const std::string& text, const std::string& what) {
  return Refuse("DEVICE_STRING_INVALID",
                absl::StrCat("device \"", text, "\" is not understood: ", what, ". Write one of: ", kForms, "."));
}

Devices OfKind(const Devices& devices, v1::Device::Kind kind) {
  Devices found;
  std::copy_if(devices.begin(), devices.end(), std::back_inserter(found),
               [kind](const v1::Device& device) { return device.kind() == kind; });
  return found;
}

std::optional<int> ParseIndex(const std::string& word) {
  int index = 0;
  const bool digits = !word.empty() && word.size() <= kDigitsMax && std::all_of(word.begin(), word.end(), absl::ascii_isdigit);
  if (!digits || !absl::SimpleAtoi(word, &index)) return std::nullopt;
  return index;
}

// "0, 2" -> {"0", "2"}.
Words SplitList(const std::string& text) {
  Words words;
  for (absl::string_view part : absl::StrSplit(text, ',')) words.emplace_back(absl::StripAsciiWhitespace(part));
  return words;
}

// It failed, so a job had better not be made to wait for it.
bool HasFailed(const v1::Device& device) {
  return device.state() == v1::Device::LOST || (device.state() == v1::Device::DRAINED && device.failed());
}

// Resolves one device string; knows the machine.
class Resolver {
 public:
  Resolver(const std::string& text, const Devices& devices, int cores)
      : text_(text), gpus_(OfKind(devices, v1::Device::GPU)), slots_(OfKind(devices, v1::Device::CPU_SLOT)), cores_(cores) {}

  absl::StatusOr<DeviceSelection> Resolve() const {
    const std::string text(absl::StripAsciiWhitespace(text_));
    if (text.empty()) {
      return Refuse("DEVICE_STRING_INVALID", absl::StrCat("The device is empty. Write one of: ", kForms, "."));
    }
    const std::string lower = absl::AsciiStrToLower(text);
    if (lower == "auto" || lower == "all") return All();
    if (lower == "cpu") return WholeCpu();
    absl::string_view rest = lower;
    if (absl::ConsumePrefix(&rest, "gpus:")) return Count(std::string(rest));
    if (absl::ConsumePrefix(&rest, "cpu:")) return Indices(SplitList(std::string(rest)), slots_);
    if (absl::StartsWith(lower, "gpu-")) return Uuids(SplitList(text));
    const Words words = SplitList(text);
    if (words[0] == "-1") return Idle(words);
    return Indices(words, gpus_.empty() ? slots_ : gpus_);
  }

 private:
  absl::StatusOr<DeviceSelection> All() const {
    if (gpus_.empty()) return WholeCpu();
    Devices usable, whole;
    std::copy_if(gpus_.begin(), gpus_.end(), std::back_inserter(whole), [](const v1::Device& gpu) { return !HasFailed(gpu); });
    std::copy_if(whole.begin(), whole.end(), std::back_inserter(usable),
                 [](const v1::Device& gpu) { return gpu.state() != v1::Device::DRAINED; });
    if (whole.empty()) {
      return Refuse("DEVICE_NOT_AVAILABLE", absl::StrCat("All ", gpus_.size(), " GPU(s) are lost: ", gpus_[0].message(),
                                                         ". Look at the driver (nvidia-smi), or write device=cpu."));
    }
    return Bound(usable.empty() ? whole : usable);
  }

  absl::StatusOr<DeviceSelection> WholeCpu() const {
    DeviceSelection selection;
    selection.devices = slots_;
    selection.cpu = true;
    selection.threads_per_rank = cores_;
    selection.sentence = absl::StrCat("Device: CPU (one process, all ", cores_, " cores)");
    return selection;
  }

  absl::StatusOr<DeviceSelection> Count(const std::string& number) const {
    const std::optional<int> count = ParseIndex(number);
    if (!count || *count < 1) return Mangled(text_, "gpus: takes a number from 1");
    if (*count > static_cast<int>(gpus_.size())) {
      return Refuse("DEVICE_NOT_AVAILABLE",
                    absl::StrCat(*count, " GPU(s) not available. Only ", gpus_.size(), " GPU(s) detected. ",
                                 gpus_.empty() ? "Write device=cpu or CPU slots: device=cpu:0,1." : "Ask for fewer."));
    }
    return Unbound(*count, /*cpu=*/false);
  }

  absl::StatusOr<DeviceSelection> Idle(const Words& words) const {
    for (const std::string& word : words) {
      if (word != "-1") return Mangled(text_, "-1 (an idle one) cannot be mixed with other words");
    }
    const bool cpu = gpus_.empty();
    const size_t there = cpu ? slots_.size() : gpus_.size();
    if (words.size() > there) {
      return Refuse("DEVICE_NOT_AVAILABLE",
                    absl::StrCat(words.size(), cpu ? " CPU slots" : " GPUs", " not available. Only ", there,
                                 cpu ? " CPU slot(s) detected." : " GPU(s) detected.", " Ask for fewer."));
    }
    return Unbound(static_cast<int>(words.size()), cpu);
  }

  absl::StatusOr<DeviceSelection> Uuids(const Words& words) const {
    Devices chosen;
    for (const std::string& word : words) {
      if (word.empty()) return Mangled(text_, "there is nothing between two commas");
      Devices matches;
      for (const v1::Device& gpu : gpus_) {
        if (absl::StartsWithIgnoreCase(gpu.uuid(), word)) matches.push_back(gpu);
      }
      if (matches.size() > 1) return Mangled(text_, absl::StrCat(word, " begins the UUIDs of ", matches.size(), " GPUs"));
      if (matches.empty()) {
        return Refuse("DEVICE_NOT_AVAILABLE", absl::StrCat(word, " not available. ", Detected(gpus_, "GPU(s)"), " ", SeeDevices()));
      }
      YOKE_RETURN_IF_ERROR(Add(matches[0], chosen));
    }
    return Bound(chosen);
  }

  absl::StatusOr<DeviceSelection> Indices(const Words& words, const Devices& there) const {
    const bool gpus = &there == &gpus_;
    Devices chosen;
    for (const std::string& word : words) {
      const std::optional<int> index = ParseIndex(word);
      if (word.empty()) return Mangled(text_, "an index is missing");
      if (!index) return Mangled(text_, absl::StrCat("\"", word, "\" is no index"));
      if (*index >= static_cast<int>(there.size())) {
        return Refuse("DEVICE_NOT_AVAILABLE",
                      absl::StrCat(gpus ? "GPU " : "CPU slot ", *index, " not available. ",
                                   Detected(there, gpus ? "GPU(s)" : "CPU slot(s)"), " ", Usable(there)));
      }
      YOKE_RETURN_IF_ERROR(Add(there[*index], chosen));
    }
    return Bound(chosen);
  }

  absl::Status Add(const v1::Device& device, Devices& chosen) const {
    const std::string word = absl::StrCat(device.kind() == v1::Device::GPU ? "GPU " : "CPU slot ", device.index());
    for (const v1::Device& other : chosen) {
      if (other.uuid() == device.uuid()) {
        return Refuse("DEVICE_DUPLICATE",
                      absl::StrCat(word, " is named twice in \"", text_, "\". Name each device once."));
      }
    }
    if (HasFailed(device)) {
      return Refuse("DEVICE_NOT_AVAILABLE",
                    absl::StrCat(word, " not available: ", device.message(), ". Choose another, or repair it (nvidia-smi)."));
    }
    chosen.push_back(device);
    return absl::OkStatus();
  }

  static std::string Detected(const Devices& there, const char* kind) {
    return absl::StrCat("Only ", there.size(), " ", kind, " detected.");
  }
  static std::string SeeDevices() { return "`yoke devices` lists them."; }
  static std::string Usable(const Devices& there) {
    if (there.empty()) return SeeDevices();
    if (there.size() == 1) return "The only index is 0.";
    return absl::StrCat("Indices run from 0 to ", there.size() - 1, ".");
  }

  DeviceSelection Bound(const Devices& chosen) const {
    DeviceSelection selection;
    selection.devices = chosen;
    selection.world_size = static_cast<int>(chosen.size());
    selection.cpu = chosen[0].kind() == v1::Device::CPU_SLOT;
    const std::string indices = absl::StrJoin(chosen, ",", [](std::string* out, const v1::Device& device) {
      absl::StrAppend(out, device.index());
    });
    if (selection.cpu) {
      selection.threads_per_rank = ThreadsPerSlot();
      selection.sentence = absl::StrCat("Devices: cpu:", indices, " (", chosen.size(), chosen.size() == 1 ? " CPU slot" : " CPU slots",
                                        ", ", selection.threads_per_rank,
                                        selection.threads_per_rank == 1 ? " thread each)" : " threads each)");
    } else {
      selection.sentence = absl::StrCat("Devices: ", indices, " (", chosen.size(), chosen.size() == 1 ? " GPU)" : " GPUs)");
    }
    return selection;
  }

  DeviceSelection Unbound(int count, bool cpu) const {
    DeviceSelection selection;
    selection.gpus_wanted = count;
    selection.world_size = count;
    selection.cpu = cpu;
    if (cpu) selection.threads_per_rank = ThreadsPerSlot();
    const char* kind = cpu ? (count == 1 ? "CPU slot" : "CPU slots") : (count == 1 ? "GPU" : "GPUs");
    selection.sentence = absl::StrCat("Devices: ", count, " idle ", kind, ", chosen when the job starts");
    return selection;
  }

  int ThreadsPerSlot() const { return slots_.empty() ? 1 : std::max(1, slots_[0].threads()); }

  const std::string& text_;
  const Devices gpus_, slots_;
  const int cores_;
};

v1::DeviceChoice Choice(std::string label, std::string device) {
  v1::DeviceChoice choice;
  choice.set_label(std::move(label));
  choice.set_device(std::move(device));
  return choice;
}

}  // namespace

absl::StatusOr<DeviceSelection> ResolveDeviceString(const std::string& device_string, const Devices& devices, int cores) {
  return Resolver(device_string, devices, cores).Resolve();
}

absl::StatusOr<v1::Device> FindDevice(const std::string& text, const Devices& devices) {
  const std::string word(absl::StripAsciiWhitespace(text));
  const std::string lower = absl::AsciiStrToLower(word);
  absl::string_view number = lower;
  const bool cpu = absl::ConsumePrefix(&number, "cpu:");
  const Devices gpus = OfKind(devices, v1::Device::GPU);
  const std::optional<int> index = ParseIndex(std::string(number));
  Devices found;
  for (const v1::Device& device : cpu || (index && gpus.empty()) ? OfKind(devices, v1::Device::CPU_SLOT) : gpus) {
    const bool named = index ? device.index() == *index : absl::StartsWith(lower, "gpu-") && absl::StartsWithIgnoreCase(device.uuid(), word);
    if (named) found.push_back(device);
  }
  if (found.size() == 1) return found[0];
  return Refuse("DEVICE_NOT_AVAILABLE", absl::StrCat("\"", text, "\" names ", found.empty() ? "no device" : absl::StrCat(found.size(), " devices"),
                                                     " of this machine. Write one index, cpu:0, or the beginning of a UUID; `yoke devices -o wide` lists them."));
}

std::vector<v1::DeviceChoice> MakeChoices(const Devices& devices) {
  const Devices gpus = OfKind(devices, v1::Device::GPU);
  std::vector<v1::DeviceChoice> choices;
  if (gpus.empty()) {
    choices.push_back(Choice("Auto (CPU)", "auto"));
    for (const v1::Device& slot : OfKind(devices, v1::Device::CPU_SLOT)) {
      choices.push_back(Choice(absl::StrCat("CPU slot ", slot.index()), absl::StrCat("cpu:", slot.index())));
    }
  } else {
    choices.push_back(Choice(gpus.size() == 1 ? "Auto (1 GPU)" : absl::StrCat("Auto (All ", gpus.size(), " GPUs)"), "auto"));
    for (const v1::Device& gpu : gpus) {
      choices.push_back(Choice(absl::StrCat("GPU ", gpu.index(), ": ", gpu.name()), absl::StrCat(gpu.index())));
    }
  }
  choices.push_back(Choice("CPU", "cpu"));
  choices.push_back(Choice("Custom...", ""));
  return choices;
}

}  // namespace yoke::devices
