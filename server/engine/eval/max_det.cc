#include "server/engine/eval/max_det.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace yoke::engine {
namespace {

constexpr int kDefault = 300;
constexpr int64_t kMost = 30000;  // what suppression lets in, and what the setting may be

}  // namespace

int64_t MostObjects(const Split& split) {
  size_t most = 0;
  for (const Sample& sample : split.samples) most = std::max(most, sample.labels.size());
  return static_cast<int64_t>(most);
}

int MaxDetFor(int max_det, int64_t objects, std::string* warning) {
  if (objects <= max_det) return max_det;
  const int raised = static_cast<int>(std::min(objects, kMost));
  *warning = absl::StrCat("an image holds ", objects, " objects, more than max_det=", max_det);
  if (max_det == kDefault) {
    absl::StrAppend(warning, "; raised to ", raised);
    return raised;
  }
  absl::StrAppend(warning, "; what is beyond cannot be found: raise it");
  return max_det;
}

}  // namespace yoke::engine
