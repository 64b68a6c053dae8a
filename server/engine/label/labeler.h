// The label task: images in, YOLO txt files out, sharded over the ranks of a group.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/config.h"
#include "server/engine/distributed/group.h"
#include "server/engine/observer.h"

namespace yoke::engine {

inline constexpr size_t kLabelFailuresNamed = 1000;

struct LabelResult {     // summed over ranks, the same on every rank
  int64_t images = 0;    // found
  int64_t labelled = 0;  // files written with at least one box
  int64_t empty = 0;     // files written without a box
  int64_t kept = 0;      // an existing file was left alone
  int64_t failed = 0;    // unreadable images
  int64_t boxes = 0;
  double images_per_second = 0;
  std::vector<std::string> failures;  // "PATH: reason", sorted, at most kLabelFailuresNamed
  bool stopped = false;
};

// Writes config.out/TREE/STEM.txt for each image of config.sources, `class cx cy w h [confidence]`
// a line, and the class names beside them. An image that cannot be read, or whose label file is
// another image's, is counted and named and does not end the job; what is written stays, also after
// a stop or an error, and a second run makes the rest. `out` may be a source or lie in one: only
// label files are replaced, and only with `overwrite`. The same error on every rank. NotFound: no
// such weights or source, or no image. InvalidArgument: weights or values that cannot be used.
// PermissionDenied, ResourceExhausted: `out` cannot be written. Unavailable: a peer is gone.
absl::StatusOr<LabelResult> RunLabel(const LabelConfig& config, at::Device device, Group& group,
                                     Observer& observer, const StopSignal& stop);

}  // namespace yoke::engine
