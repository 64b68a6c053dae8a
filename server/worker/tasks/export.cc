#include "common/base/status_macros.h"
#include "server/engine/export/export.h"
#include "server/worker/tasks/tasks.h"

namespace yoke::worker {

absl::StatusOr<TaskEnd> RunExportTask(const engine::ExportConfig& config, Rank& rank) {
  TaskEnd end;
  if (!rank.leads()) return end;
  YOKE_ASSIGN_OR_RETURN(const engine::ExportResult result,
                        engine::RunExport(config, rank.observer));
  end.result["export"] = {
      {"path", result.path}, {"format", config.format}, {"bytes", result.bytes}};
  return end;
}

}  // namespace yoke::worker
