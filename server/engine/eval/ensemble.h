// Detections of several models on one image become one list: by suppression, soft suppression
// (Gaussian, arXiv 1704.04503) or weighted boxes fusion (arXiv 1910.13302).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/config.h"
#include "server/engine/eval/class_map.h"
#include "server/engine/eval/detection.h"

namespace yoke::engine {

struct EnsembleOptions {
  enum Method { kNms, kSoftNms, kWeightedBoxes };
  Method method = kWeightedBoxes;
  double iou = 0.55;            // boxes that overlap more are one object; unused by kSoftNms
  std::vector<double> weights;  // one a member, of which one is over 0
  double conf = 0;              // what is fused must be more confident
  int max_det = 300;            // per image
  bool agnostic = false;        // across classes
  std::vector<std::vector<char>> knows;  // [member][class]; empty: every member knows every class
};

// InvalidArgument: an unknown method, weights that are not one a model, or negative, or all 0.
absl::StatusOr<EnsembleOptions> ResolveEnsemble(const EnsembleConfig& config, size_t models);

// Which classes of the common list each member knows.
std::vector<std::vector<char>> KnownClasses(const std::vector<ClassMap>& maps, size_t classes);

// The confidence from which a member's detections are to be collected for a result from `conf` on:
// less where confidences are averaged, since what one member doubts another may be sure of.
double MemberConfidence(const EnsembleOptions& options, double conf);

// `members`: per member its detections of one image, all in the same pixels and classes. By falling
// confidence; boxes without area and members of weight 0 are left out. A member counts as one vote
// of its weight over the sum of the weights that know the class:
// nms, soft_nms: its confidences are scaled by its weight over the largest one, and boxes stay as
// they are.
// wbf: boxes of one object become their mean, weighted by confidence and weight; its confidence is
// the mean of those of the boxes, times the share of the members that saw it.
std::vector<Detection> Fuse(const std::vector<std::vector<Detection>>& members,
                            const EnsembleOptions& options);

}  // namespace yoke::engine
