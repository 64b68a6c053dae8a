// The written half of the process task.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "server/engine/data/process.h"
#include "server/engine/data/process/raw_folder.h"
#include "server/engine/data/process/stratify.h"

namespace yoke::engine {

struct PlannedFile {
  RawImage raw;
  std::vector<int> class_ids;  // one for each box
  SplitName split = SplitName::kTrain;
};

struct ProcessPlan {
  std::vector<PlannedFile> images;
  std::vector<std::string> names;
  std::vector<std::string> unlabelled;     // relative paths of images without a label file
  std::vector<std::string> orphan_labels;  // relative paths
  std::vector<std::pair<std::string, std::string>> duplicates;  // (left out, kept), relative paths
  std::vector<std::string> corrupt;        // one sentence each
};

// Writes images/, labels/, data.yaml, report.json and report.txt into a new folder beside config.out and renames
// it to config.out. On an error, or Cancelled by `stop`, that folder is removed again.
absl::Status WriteDataset(const ProcessConfig& config, const ProcessPlan& plan, const ProcessResult& result,
                          Observer& observer, const StopSignal& stop);

}  // namespace yoke::engine
