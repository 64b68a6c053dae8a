// The label task: images in, YOLO txt files out, sharded over the ranks of a group.
#pragma once

#include "absl/status/statusor.h"
#include "server/engine/config.h"
#include "server/engine/distributed/group.h"
#include "server/engine/observer.h"

namespace yoke::engine {

struct LabelResult {  // summed over ranks, the same on every rank
  int64_t images = 0;    // found
  int64_t labelled = 0;  // files written with at least one box
  int64_t empty = 0;     // files written without a box
  int64_t kept = 0;      // an existing file was left alone
  int64_t failed = 0;    // unreadable images
  int64_t boxes = 0;
  double images_per_second = 0;
  std::vector<std::string> failures;  // "PATH: reason", at most 1000
  bool stopped = false;
};

absl::StatusOr<LabelResult> RunLabel(const LabelConfig& config, at::Device device, Group& group,
                                     Observer& observer, const StopSignal& stop);

}  // namespace yoke::engine
