#include <numeric>

#include "common/base/status_macros.h"
#include "server/engine/train/trainer.h"
#include "server/worker/tasks/tasks.h"

namespace yoke::worker {

nlohmann::json MetricsJson(const engine::DetectionMetrics& m) {
  return {{"precision", m.precision},
          {"recall", m.recall},
          {"map50", m.map50},
          {"map5095", m.map5095},
          {"fitness", m.fitness}};
}

absl::StatusOr<TaskEnd> RunTrainTask(const engine::TrainConfig& config, Rank& rank) {
  YOKE_ASSIGN_OR_RETURN(
      const engine::TrainResult result,
      engine::RunTraining(config, rank.device, *rank.group, rank.observer, rank.stop));
  YOKE_ASSIGN_OR_RETURN(const std::vector<double> checksums,
                        GatherNumbers(result.weights_checksum, *rank.group));
  YOKE_ASSIGN_OR_RETURN(const std::vector<double> peaks,
                        GatherNumbers(static_cast<double>(PeakRssBytes()), *rank.group));
  const int world_size = rank.group->world_size();
  TaskEnd end;
  end.stopped = result.stopped;
  end.result["train"] = {
      {"epochs", result.epochs},
      {"bestEpoch", result.best_epoch},
      {"imagesPerSecond", result.images_per_second},
      {"metrics", MetricsJson(result.metrics)},
      {"worldSize", world_size},
      {"batchPerRank", result.batch / world_size},
      {"batch", result.batch},
      {"amp", result.precision},
      {"skippedSteps", result.skipped_steps},
      {"rollbacks", result.rollbacks},
      {"microBatches", result.parts},
      {"stageSeconds", result.stage_seconds},
      {"peakRssBytes", static_cast<int64_t>(std::accumulate(peaks.begin(), peaks.end(), 0.0))},
      {"runDir", config.run_dir},
      {"weightsChecksum", checksums},
      {"earlyStopped", result.early_stopped}};
  return end;
}

}  // namespace yoke::worker
