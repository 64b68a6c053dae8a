#include "server/engine/train/epoch_columns.h"

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace yoke::engine {
namespace {

// The reference rounds losses and metrics before it writes them, but not the rates.
double Rounded(double value) {
  return std::abs(value) < 1e10 ? std::round(value * 1e5) / 1e5 : value;
}

}  // namespace

std::vector<std::pair<std::string, double>> EpochColumns(const EpochReport& report) {
  const DetectionMetrics& metrics = report.metrics;
  std::vector<std::pair<std::string, double>> columns = {
      {"train/box_loss", report.box_loss},      {"train/cls_loss", report.cls_loss},
      {"train/dfl_loss", report.dfl_loss},      {"metrics/precision(B)", metrics.precision},
      {"metrics/recall(B)", metrics.recall},    {"metrics/mAP50(B)", metrics.map50},
      {"metrics/mAP50-95(B)", metrics.map5095}, {"val/box_loss", report.val_box_loss},
      {"val/cls_loss", report.val_cls_loss},    {"val/dfl_loss", report.val_dfl_loss}};
  for (auto& [name, value] : columns) value = Rounded(value);
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
