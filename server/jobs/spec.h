// Resolving and checking job specifications against the Settings of their fields
// (proto/yoke/v1/setting.proto).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/formats/step_memory_file.h"
#include "nlohmann/json_fwd.hpp"
#include "yoke/v1/spec.pb.h"

namespace yoke::jobs {

struct Violation {
  std::string field;        // "train.batch"
  std::string description;  // what, why, what to do
};

struct ResolvedSpec {
  v1::JobSpec spec;                   // nothing left to default
  std::vector<std::string> user_set;  // "batch", "lr0" ...
  std::vector<std::string> warnings;  // "imgsz=650 is rounded up to 672"
  std::vector<Violation> violations;  // empty: usable
};

// Needs no file and no device: keys, ranges, choices, presets, required fields, roundings.
ResolvedSpec Resolve(const v1::JobSpec& asked);

// What a specification asks of the devices.
const v1::TrainSpec* TrainPart(
    const v1::JobSpec& spec);  // of a train or process job; null: it trains nothing
const char* TaskName(
    const v1::JobSpec& spec);  // "train", "validate", "label", "process", "selftest"

// As spec.json holds it: protobuf's JSON with proto field names and every value present.
nlohmann::json SpecJson(const v1::JobSpec& resolved);

// Checks that need the number of devices: batch divisible (naming the nearest batches), batch >=
// devices.
std::vector<Violation> CheckForWorldSize(const v1::JobSpec& resolved, int world_size);

// What the ranks of a job run on, as far as memory goes.
struct RankMemory {
  bool gpu = true;
  int64_t bytes = 0;  // of the smallest GPU; on CPUs a rank's share of the machine
};

// What batch=-1 found out about trainings of a kind: formats::FindStepMemory in some folder.
using MeasuredMemory =
    std::function<std::optional<formats::StepMemory>(const formats::StepMemoryKind& kind)>;

// The memory that a training will take on each device, and a warning if that is more than there is:
// "YOLOv8x, batch 64 on 4 GPUs: about 12 GB each (estimate)". As measured; if nothing was, on GPUs
// from a table, and then it says so.
std::vector<std::string> Advice(const v1::JobSpec& resolved, int world_size,
                                const RankMemory& memory, const MeasuredMemory& measured);

// The lines shown before a training (devices, total batch, batch per device, method).
std::vector<std::string> Banner(const v1::JobSpec& resolved,
                                const std::vector<std::string>& device_words, bool gpus);

}  // namespace yoke::jobs
