#include "server/engine/export/export.h"

#include "absl/strings/str_cat.h"

namespace yoke::engine {

absl::StatusOr<ExportResult> RunExport(const ExportConfig& config, Observer& observer) {
  observer.OnPhase("export");
  return absl::UnimplementedError(absl::StrCat("format=", config.format, " is not there yet"));
}

}  // namespace yoke::engine
