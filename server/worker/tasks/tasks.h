// The tasks, one file each: configuration in, the API's result out.
#pragma once

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "server/engine/config.h"
#include "server/worker/rank.h"
#include "server/worker/spec_reader.h"

namespace yoke::worker {

struct TaskEnd {
  nlohmann::json result;  // JobResult as JSON; only rank 0's is used
  bool stopped = false;   // as asked; what was reached is saved
  absl::Status verdict;   // an error to end with although there is a result
};

// Errors: those of the engine. Every rank of the group must call the same task.
absl::StatusOr<TaskEnd> RunTrainTask(const engine::TrainConfig& config, Rank& rank);
absl::StatusOr<TaskEnd> RunValidateTask(const engine::ValConfig& config, Rank& rank);
absl::StatusOr<TaskEnd> RunLabelTask(const engine::LabelConfig& config, Rank& rank);
// Rank 0 makes the data set, then all train on it, if that is asked for.
absl::StatusOr<TaskEnd> RunProcessTask(const ProcessJob& job, Rank& rank);
// Draws a data set, trains on it, labels with what came of it. A check that fails is an Internal
// error after the result.
absl::StatusOr<TaskEnd> RunSelftestTask(const SelftestJob& job, Rank& rank);
// Rank 0 writes the file; the others have nothing to do.
absl::StatusOr<TaskEnd> RunExportTask(const engine::ExportConfig& config, Rank& rank);

nlohmann::json MetricsJson(const engine::DetectionMetrics& metrics);

}  // namespace yoke::worker
