#include "common/base/status_macros.h"
#include "server/engine/label/labeler.h"
#include "server/worker/tasks/tasks.h"

namespace yoke::worker {

absl::StatusOr<TaskEnd> RunLabelTask(const engine::LabelConfig& config, Rank& rank) {
  YOKE_ASSIGN_OR_RETURN(
      const engine::LabelResult result,
      engine::RunLabel(config, rank.device, *rank.group, rank.observer, rank.stop));
  TaskEnd end;
  end.stopped = result.stopped;
  end.result["label"] = {{"images", result.images},
                         {"labelled", result.labelled},
                         {"empty", result.empty},
                         {"kept", result.kept},
                         {"failed", result.failed},
                         {"boxes", result.boxes},
                         {"imagesPerSecond", result.images_per_second},
                         {"outDir", config.out},
                         {"failures", result.failures}};
  return end;
}

}  // namespace yoke::worker
