// Any bytes as a label file, by three sets of rules: rows inside the image, or FILE:LINE and a
// reason.
#include <cmath>

#include "absl/strings/match.h"
#include "common/formats/label_file.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using yoke::formats::LabelRules;
  const std::string text = yoke::fuzz::Text(data, size);
  for (const LabelRules& rules :
       {LabelRules{.class_count = 3}, LabelRules{.class_count = 0, .rows_max = 4},
        LabelRules{.class_count = 1, .single_cls = true}}) {
    const auto file = yoke::formats::ParseLabelFile(text, "f.txt", rules);
    if (!file.ok()) {
      yoke::fuzz::CheckRefusal(file.status());
      YOKE_CHECK(absl::StartsWith(file.status().message(), "f.txt:"));
      continue;
    }
    YOKE_CHECK(static_cast<int64_t>(file->rows.size()) <= rules.rows_max && file->duplicates >= 0);
    for (const auto& row : file->rows) {
      YOKE_CHECK(row.class_id >= 0 && (rules.class_count == 0 || row.class_id < rules.class_count));
      for (const float value : {row.x, row.y, row.w, row.h})
        YOKE_CHECK(std::isfinite(value) && value >= 0 && value <= 1);
    }
  }
  return 0;
}
