#include "server/engine/plots/run_plots.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "server/engine/data/file_bytes.h"
#include "server/engine/data/image_encode.h"
#include "server/engine/plots/batch_mosaic.h"
#include "server/engine/plots/confusion_chart.h"
#include "server/engine/plots/curve_chart.h"
#include "server/engine/plots/label_chart.h"
#include "server/engine/plots/results_chart.h"

namespace yoke::engine {
namespace {

constexpr int kValidationsDrawn = 5;
constexpr float kConfidenceMin = 0.25f;
constexpr int kJpegQuality = 85;

// Whole or not there; not synced, for a picture is worth no wait.
absl::Status WritePicture(const std::string& path, const std::string& bytes) {
  const std::string beside = path + ".tmp";
  absl::Status status = WriteFile(beside, O_TRUNC, bytes, path);
  if (status.ok() && std::rename(beside.c_str(), path.c_str()) != 0) {
    status = FileError(path, "write", errno);
  }
  if (!status.ok()) std::remove(beside.c_str());
  return status;
}

std::vector<std::string> FileNames(const Batch& batch, const Split* split) {
  std::vector<std::string> names;
  for (const BatchImage& image : batch.images) {
    const bool known = split != nullptr && image.sample >= 0 &&
                       image.sample < static_cast<int64_t>(split->samples.size());
    names.push_back(
        known ? std::filesystem::path(split->samples[image.sample].image_path).filename().string()
              : "");
  }
  return names;
}

std::vector<std::vector<Detection>> Confident(
    const std::vector<std::vector<Detection>>& detections) {
  std::vector<std::vector<Detection>> shown(detections.size());
  for (size_t i = 0; i < detections.size(); ++i) {
    for (const Detection& detection : detections[i]) {
      if (detection.confidence >= kConfidenceMin) shown[i].push_back(detection);
    }
  }
  return shown;
}

}  // namespace

void RunPlots::Warn(const std::string& what) {
  if (!warned_ && options_.warn)
    options_.warn(absl::StrCat("a picture is missing, the run goes on: ", what));
  warned_ = true;
}

void RunPlots::Make(const std::string& name, Kind kind, const std::function<Figure()>& draw) {
  try {
    const Figure figure = draw();
    const absl::StatusOr<std::string> bytes =
        kind == Kind::kPng ? EncodePng(figure.bgr) : EncodeJpeg(figure.bgr, kJpegQuality);
    if (!bytes.ok()) return Warn(absl::StrCat(name, ": ", bytes.status().message()));
    const std::string path =
        absl::StrCat(options_.run_dir, "/", name, kind == Kind::kPng ? ".png" : ".jpg");
    if (const absl::Status status = WritePicture(path, *bytes); !status.ok()) {
      return Warn(std::string(status.message()));
    }
    if (options_.on_picture)
      options_.on_picture({name, *bytes, figure.bgr.cols, figure.bgr.rows, epoch_});
  } catch (const std::exception& error) {  // OpenCV's, and want of memory
    Warn(absl::StrCat(name, ": ", error.what()));
  }
}

void RunPlots::Start() {
  if (options_.train == nullptr) return;
  Make("labels", Kind::kJpeg, [&] { return DrawLabels(*options_.train, options_.names); });
}

bool RunPlots::WantsTrainBatch(int epoch, int64_t position) const {
  const int64_t iteration = epoch * options_.batches_per_epoch + position;
  const int64_t closed = options_.close_mosaic_from * options_.batches_per_epoch;
  return iteration < kBatchesDrawn || (options_.close_mosaic_from > 0 && iteration >= closed &&
                                       iteration < closed + kBatchesDrawn);
}

void RunPlots::OnTrainBatch(int epoch, int64_t position, const Batch& batch) {
  epoch_ = epoch + 1;
  if (!WantsTrainBatch(epoch, position)) return;
  Make(absl::StrCat("train_batch", epoch * options_.batches_per_epoch + position), Kind::kJpeg,
       [&] {
         return DrawMosaic(batch, LabelBoxes(batch),
                           {options_.names, FileNames(batch, options_.train), false});
       });
}

bool RunPlots::WantsValBatch(int epoch, int64_t position) const {
  if (position < 0 || position >= kBatchesDrawn) return false;
  const int interval = (options_.epochs + kValidationsDrawn - 1) / kValidationsDrawn;
  return epoch < 0 || epoch + 1 >= options_.epochs || epoch % std::max(interval, 1) == 0;
}

void RunPlots::OnValBatch(int epoch, int64_t position, const Batch& batch,
                          const std::vector<std::vector<Detection>>& detections) {
  if (!WantsValBatch(epoch, position)) return;
  epoch_ = std::max(epoch_, epoch + 1);
  MosaicText text{options_.names, FileNames(batch, options_.val), false};
  if (!labels_drawn_[position]) {
    labels_drawn_[position] = true;
    Make(absl::StrCat("val_batch", position, "_labels"), Kind::kJpeg,
         [&] { return DrawMosaic(batch, LabelBoxes(batch), text); });
  }
  text.confidences = true;
  Make(absl::StrCat("val_batch", position, "_pred"), Kind::kJpeg,
       [&] { return DrawMosaic(batch, Confident(detections), text); });
}

void RunPlots::Finish(const Curves& curves, const ConfusionMatrix& confusion) {
  if (!curves.classes.empty()) {
    Make("BoxPR_curve", Kind::kPng, [&] { return DrawPrecisionRecall(curves); });
    Make("BoxP_curve", Kind::kPng,
         [&] { return DrawOverConfidence(curves, ConfidenceCurve::kPrecision); });
    Make("BoxR_curve", Kind::kPng,
         [&] { return DrawOverConfidence(curves, ConfidenceCurve::kRecall); });
    Make("BoxF1_curve", Kind::kPng,
         [&] { return DrawOverConfidence(curves, ConfidenceCurve::kF1); });
  }
  if (confusion.classes > 0) {
    Make("confusion_matrix", Kind::kPng,
         [&] { return DrawConfusion(confusion, options_.names, false); });
    Make("confusion_matrix_normalized", Kind::kPng,
         [&] { return DrawConfusion(confusion, options_.names, true); });
  }
  const absl::StatusOr<ResultsTable> results = ReadResults(options_.run_dir + "/results.csv");
  if (absl::IsNotFound(results.status())) return;  // no training, or none of its epochs ended
  if (!results.ok()) return Warn(std::string(results.status().message()));
  Make("results", Kind::kPng, [&] { return DrawResults(*results); });
}

}  // namespace yoke::engine
