#include "server/engine/train/epoch_columns.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace yoke::engine {

std::vector<std::pair<std::string, double>> EpochColumns(const EpochReport& report) {
  const DetectionMetrics& metrics = report.metrics;
  std::vector<std::pair<std::string, double>> columns = {
      {"train/box_loss", report.box_loss},      {"train/cls_loss", report.cls_loss},
      {"train/dfl_loss", report.dfl_loss},      {"metrics/precision(B)", metrics.precision},
      {"metrics/recall(B)", metrics.recall},    {"metrics/mAP50(B)", metrics.map50},
      {"metrics/mAP50-95(B)", metrics.map5095}, {"val/box_loss", report.val_box_loss},
      {"val/cls_loss", report.val_cls_loss},    {"val/dfl_loss", report.val_dfl_loss}};
  for (size_t i = 0; i < report.lr.size(); ++i) {
    columns.emplace_back(absl::StrCat("lr/pg", i), report.lr[i]);
  }
  return columns;
}

std::vector<std::pair<std::string, double>> EpochMetrics(const EpochReport& report) {
  std::vector<std::pair<std::string, double>> metrics;
  for (const auto& column : EpochColumns(report)) {
    const bool is_validated =
        absl::StartsWith(column.first, "metrics/") || absl::StartsWith(column.first, "val/");
    if (is_validated) metrics.push_back(column);
  }
  metrics.emplace_back("fitness", report.metrics.fitness);
  return metrics;
}

}  // namespace yoke::engine
