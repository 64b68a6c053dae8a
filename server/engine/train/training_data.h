// The data set of a training: read, scanned and checked before anything is computed.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/config.h"
#include "server/engine/data/dataset.h"
#include "server/engine/observer.h"

namespace yoke::engine {

struct TrainingData {
  DataYaml yaml;
  std::vector<std::string> names;  // of ClassNames
  Split train, val;                // val is empty with val=false
};

// The classes that a training on `yaml` tells apart.
std::vector<std::string> ClassNames(const DataYaml& yaml, bool single_cls);

// Errors are those of ReadDataYaml and ScanSplit, and InvalidArgument for a YAML without `val:`.
absl::StatusOr<TrainingData> LoadTrainingData(const TrainConfig& config, Observer& observer);

}  // namespace yoke::engine
