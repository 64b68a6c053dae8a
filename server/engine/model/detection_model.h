// YOLOv8 detection networks (scales n, s, m, l, x) for any class count.
// Shapes: B batch, C channels, H/W pixels, A anchor points (all levels, P3 first, rows first),
// K classes, R = 16 DFL bins. Images are RGB in [0, 1], sides multiples of 32.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/model/bn_silu.h"
#include "server/engine/model/head_maps.h"
#include "torch/nn/module.h"

namespace yoke::engine {

struct ModelSpec {
  char scale = 'n';  // n s m l x
  int class_count = 80;
  // Channels of the class branches; 0: as many as a fresh model of that class count has. Weights
  // that were trained on from another class list may have kept the branches of that one.
  int class_width = 0;
};

// Where the eras of the recipe begin differently. Defaults are the classic recipe's.
struct FreshModel {
  double box_bias = 1.0;     // of the head's box branches
  double running_var = 0.9;  // of BatchNorm; another value than 1 stands for a pass over zeros
};

inline constexpr int kRegMax = 16;

// "yolov8n", "yolov8n.yaml", "yolov8x.pt" -> 'n', 'x'; nullopt-like '\0' for other names.
char ScaleFromName(const std::string& name);

// Module and parameter names equal the reference's state_dict ("model.0.conv.weight", ...).
class DetectionModel : public torch::nn::Module {
 public:
  // Fresh weights: PyTorch's default initialisation and what `fresh` says.
  static absl::StatusOr<std::shared_ptr<DetectionModel>> Create(const ModelSpec& spec,
                                                                const FreshModel& fresh = {});

  // (B,3,H,W) -> what the head gives, for the criterion and for Decode.
  HeadMaps Forward(const at::Tensor& images_BCHW);

  // (B,3,H,W) -> (B, 4 + K, A): cx, cy, w, h in input pixels, then sigmoid scores.
  at::Tensor Predict(const at::Tensor& images_BCHW);

  // The same output from maps already computed, for validation (loss and detections from one pass).
  at::Tensor Decode(const HeadMaps& maps) const;

  // Folds every BatchNorm into its convolution. For inference only; not reversible.
  void Fuse();

  // Its class_width is never 0.
  const ModelSpec& spec() const;
  // Number of top-level layers (23), for `freeze`.
  int layer_count() const;
  // Parameters of the listed layers lose requires_grad; those of the DFL never have it.
  // `statistics`: their BatchNorms stay in eval mode too, whatever train() says.
  void FreezeLayers(const std::vector<int>& layers, bool statistics);
  void train(bool on = true) override;
  // BatchNorm in training takes its statistics over all ranks of `exchange`, which must outlive the
  // model's use.
  void SynchronizeStatistics(StatisticsExchange* exchange);

 protected:
  DetectionModel(const ModelSpec& spec, const FreshModel& fresh);
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace yoke::engine
