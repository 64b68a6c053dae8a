// The pictures of a run folder, drawn while a training or a validation goes on.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "server/engine/data/dataset.h"
#include "server/engine/data/loader.h"
#include "server/engine/eval/confusion_matrix.h"
#include "server/engine/eval/curves.h"
#include "server/engine/eval/detection.h"
#include "server/engine/plots/canvas.h"
#include "server/engine/plots/picture.h"

namespace yoke::engine {

// Owned by the leading rank; its calls come from one thread. None of them fails: what goes wrong
// becomes one warning, and the next picture is tried again. What is not due costs a comparison.
//   plots.Start(); for each batch: plots.OnTrainBatch(...); ... plots.Finish(curves, confusion);
class RunPlots {
 public:
  struct Options {
    std::string run_dir;             // exists
    std::vector<std::string> names;  // of the classes
    // Their samples' paths give file names, the training's labels labels.jpg. Not owned; null: none
    // of it.
    const Split* train = nullptr;
    const Split* val = nullptr;
    // Of the training; a validation leaves them.
    int epochs = 0;
    int64_t batches_per_epoch = 0;
    int close_mosaic_from = -1;  // the first 0-based epoch without mosaic; -1: none
    std::function<void(const std::string&)> warn;
    std::function<void(const Picture&)> on_picture;  // after the file is written, for TensorBoard
  };
  explicit RunPlots(Options options) : options_(std::move(options)) {}

  // labels.jpg.
  void Start();

  // Whether the call would draw: iterations 0 to 2 of the training, and the first three after
  // mosaic closes.
  bool WantsTrainBatch(int epoch, int64_t position) const;
  // train_batchN.jpg, N being the iteration of the whole training. `epoch` is 0-based.
  void OnTrainBatch(int epoch, int64_t position, const Batch& batch);

  // The first three batches of a validation outside a training (epoch -1), of the last epoch, and
  // of about five epochs on the way there.
  bool WantsValBatch(int epoch, int64_t position) const;
  // val_batchN_labels.jpg, once, and val_batchN_pred.jpg with the detections of at least 0.25.
  // `detections`: one list an image of the batch, in its px; more of them are not looked at.
  void OnValBatch(int epoch, int64_t position, const Batch& batch,
                  const std::vector<std::vector<Detection>>& detections);

  // The curves and the confusion matrices, if there are classes in it, and results.png, if there is
  // a results.csv.
  void Finish(const Curves& curves, const ConfusionMatrix& confusion);

 private:
  static constexpr int64_t kBatchesDrawn = 3;  // at each occasion
  enum class Kind { kPng, kJpeg };
  // Draws, encodes and writes NAME.png or NAME.jpg.
  void Make(const std::string& name, Kind kind, const std::function<Figure()>& draw);
  void Warn(const std::string& what);

  const Options options_;
  int epoch_ = 0;  // 1-based, the latest seen
  bool warned_ = false;
  std::array<bool, kBatchesDrawn> labels_drawn_ = {};  // of the val batches
};

}  // namespace yoke::engine
