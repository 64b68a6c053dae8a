// spec.json -> plain configuration of the engine. Pure: looks at no file; inputs.h does that after
// it.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "common/ipc/attempt_files.h"
#include "server/engine/config.h"

namespace yoke::worker {

struct ProcessJob {
  engine::ProcessConfig process;
  std::optional<engine::TrainConfig> train;  // on the data set made
};

struct SelftestJob {
  int epochs = 3;
  int64_t batch = 32;  // over all ranks
  int imgsz = 160;
};

struct Job {
  std::variant<engine::TrainConfig, engine::ValConfig, engine::LabelConfig, ProcessJob, SelftestJob,
               engine::ExportConfig>
      task;
  std::string device;                 // the device string as the user wrote it
  std::vector<std::string> warnings;  // settings that were adjusted
};

// True if the attempt computes on CPU slots.
bool OnCpu(const ipc::AttemptSpec& attempt);

// InvalidArgument names the field: missing, mistyped, unknown to this worker, or of no use here.
absl::StatusOr<Job> ReadJob(const ipc::AttemptSpec& attempt);

}  // namespace yoke::worker
