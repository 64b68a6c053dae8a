// The export task: weights in a form that other programs read.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "server/engine/config.h"
#include "server/engine/observer.h"

namespace yoke::engine {

struct ExportResult {
  std::string path;  // absolute
  int64_t bytes = 0;
};

// Writes config.out, whole or not at all. Errors: ReadWeights'; ResourceExhausted: disk full;
// PermissionDenied: the folder.
absl::StatusOr<ExportResult> RunExport(const ExportConfig& config, Observer& observer);

}  // namespace yoke::engine
