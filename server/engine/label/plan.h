// Which images there are to label, and which file gets each one's labels.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace yoke::engine {

struct LabelItem {
  std::string image_path;
  std::string label_path;
  std::string refusal;  // why this image gets no labels; empty: it does
};

// The names of the two files beside the labels, in `out`.
inline constexpr char kClassesFile[] = "classes.txt";
inline constexpr char kDataFile[] = "data.yaml";

// `sources`: folders, whose trees are mirrored (one: under `out`; several: under `out`/FOLDER), or
// image files, whose labels lie in `out` itself. The order depends on the paths alone, so all ranks
// get the same plan. Of images that would share a label file the first keeps it, the others are
// refused. NotFound: a source does not exist or holds no image. InvalidArgument: no source; two of
// one name.
absl::StatusOr<std::vector<LabelItem>> PlanLabels(const std::vector<std::string>& sources,
                                                  const std::string& out);

// Equal for equal plans.
std::string PlanFingerprint(const std::vector<LabelItem>& items);

}  // namespace yoke::engine
