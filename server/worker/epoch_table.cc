#include "server/worker/epoch_table.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace yoke::worker {

std::string EpochTableHeader() {
  return absl::StrFormat("%9s %9s %9s %9s %10s %8s %8s %9s %9s %9s", "epoch", "box loss",
                         "cls loss", "dfl loss", "precision", "recall", "mAP50", "mAP50-95",
                         "images/s", "elapsed");
}

std::string EpochTableRow(const engine::EpochReport& r) {
  const auto seconds = static_cast<int64_t>(r.seconds + 0.5);
  return absl::StrFormat(
      "%9s %9.4f %9.4f %9.4f %10.4f %8.4f %8.4f %9.4f %9.1f %9s",
      absl::StrCat(r.epoch, "/", r.epochs), r.box_loss, r.cls_loss, r.dfl_loss, r.metrics.precision,
      r.metrics.recall, r.metrics.map50, r.metrics.map5095, r.images_per_second,
      absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60));
}

}  // namespace yoke::worker
