// The process task: a raw folder of images and YOLO labels -> a data set with train/val(/test).
#pragma once

#include <map>

#include "absl/status/statusor.h"
#include "server/engine/config.h"
#include "server/engine/observer.h"

namespace yoke::engine {

struct ProcessResult {
  int64_t images = 0, boxes = 0, train = 0, val = 0, test = 0;
  int64_t images_without_labels = 0, labels_without_images = 0, duplicates = 0, corrupt = 0;
  std::map<std::string, int64_t> boxes_per_class;
  std::string data_yaml;  // absolute path of the written YAML
};

absl::StatusOr<ProcessResult> RunProcess(const ProcessConfig& config, Observer& observer, const StopSignal& stop);

}  // namespace yoke::engine
