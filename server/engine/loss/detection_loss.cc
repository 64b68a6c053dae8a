#include "server/engine/loss/detection_loss.h"

#include "server/engine/loss/assigner.h"
#include "server/engine/loss/box_iou.h"

namespace yoke::engine {
namespace {

constexpr int kBins = 16;
constexpr int kStrides[] = {8, 16, 32};

// The maps flattened over levels and decoded.
struct Predictions {
  at::Tensor sides_BA4R;  // DFL logits of left, top, right, bottom
  at::Tensor logits_BAK;  // class logits
  at::Tensor boxes_BA4;   // xyxy in cells
  at::Tensor points_A2;   // in cells
  at::Tensor strides_A1;  // px per cell
  int64_t width_px, height_px;
};

Predictions Flatten(const std::vector<at::Tensor>& maps, int class_count) {
  Predictions p;
  std::vector<at::Tensor> flat, points, strides;
  const int64_t batch = maps[0].size(0);
  const auto options = maps[0].options().dtype(at::kFloat).requires_grad(false);
  for (size_t level = 0; level < maps.size(); ++level) {
    const int64_t h = maps[level].size(2), w = maps[level].size(3);
    flat.push_back(maps[level].to(at::kFloat).flatten(2).transpose(1, 2));
    const at::Tensor x = (at::arange(w, options) + 0.5).repeat({h});
    const at::Tensor y = (at::arange(h, options) + 0.5).repeat_interleave(w);
    points.push_back(at::stack({x, y}, 1));
    strides.push_back(at::full({h * w, 1}, kStrides[level], options));
  }
  p.width_px = maps[0].size(3) * kStrides[0];
  p.height_px = maps[0].size(2) * kStrides[0];
  const at::Tensor all = at::cat(flat, 1);
  const int64_t anchors = all.size(1);
  p.sides_BA4R = all.narrow(2, 0, 4 * kBins).reshape({batch, anchors, 4, kBins});
  p.logits_BAK = all.narrow(2, 4 * kBins, class_count);
  p.points_A2 = at::cat(points);
  p.strides_A1 = at::cat(strides);
  const at::Tensor distances = p.sides_BA4R.softmax(3).matmul(at::arange(kBins, options));
  p.boxes_BA4 = at::cat(
      {p.points_A2 - distances.narrow(2, 0, 2), p.points_A2 + distances.narrow(2, 2, 2)}, 2);
  return p;
}

Assignment AssignFlat(const LossConfig& config, const Predictions& p, const Targets& targets) {
  at::NoGradGuard no_grad;
  const PaddedTargets padded = PadTargets(targets, p.logits_BAK.size(0), p.width_px, p.height_px);
  return AssignTargets(config, p.logits_BAK.detach(), p.boxes_BA4.detach() * p.strides_A1,
                       p.points_A2 * p.strides_A1, padded);
}

// Distribution focal loss of F foreground points: cross entropy with the two bins beside the
// target, mean of the four sides. (F)
at::Tensor DistributionFocal(const at::Tensor& sides_F4R, const at::Tensor& target_F4) {
  const at::Tensor t = target_F4.clamp(0, kBins - 1 - 0.01);
  const at::Tensor low = t.floor();
  const at::Tensor share = t - low;  // of the upper bin
  const at::Tensor log_p = sides_F4R.log_softmax(2);
  const at::Tensor index = low.to(at::kLong).unsqueeze(2);
  const at::Tensor lower = log_p.gather(2, index).squeeze(2);
  const at::Tensor upper = log_p.gather(2, index + 1).squeeze(2);
  return -(lower * (1 - share) + upper * share).mean(1);
}

}  // namespace

DetectionLoss::DetectionLoss(const LossConfig& config) : config_(config) {}

LossOutput DetectionLoss::Compute(const std::vector<at::Tensor>& maps,
                                  const Targets& targets) const {
  const Predictions p = Flatten(maps, config_.class_count);
  const Assignment assigned = AssignFlat(config_, p, targets);
  const at::Tensor mass = assigned.target_scores_BAK.sum().clamp_min(1.0);
  const at::Tensor cls = at::binary_cross_entropy_with_logits(
                             p.logits_BAK, assigned.target_scores_BAK, {}, {}, at::Reduction::Sum) /
                         mass;

  // Indexing keeps both terms in the graph when there is no foreground: their gradient is then
  // zero.
  const at::Tensor chosen = assigned.foreground_BA.nonzero();
  const at::Tensor b = chosen.select(1, 0), a = chosen.select(1, 1);
  const at::Tensor weight = assigned.target_scores_BAK.index({b, a}).sum(1);
  const at::Tensor target = assigned.target_boxes_BA4.index({b, a}) / p.strides_A1.index({a});
  const at::Tensor box =
      ((1 - CompleteIou(p.boxes_BA4.index({b, a}), target)) * weight).sum() / mass;
  const at::Tensor points = p.points_A2.index({a});
  const at::Tensor sides =
      at::cat({points - target.narrow(1, 0, 2), target.narrow(1, 2, 2) - points}, 1);
  const at::Tensor dfl =
      (DistributionFocal(p.sides_BA4R.index({b, a}), sides) * weight).sum() / mass;

  const at::Tensor items =
      at::stack({box * config_.box_gain, cls * config_.cls_gain, dfl * config_.dfl_gain});
  return {items.sum() * p.logits_BAK.size(0), items.detach()};
}

Assignment DetectionLoss::Assign(const std::vector<at::Tensor>& maps,
                                 const Targets& targets) const {
  at::NoGradGuard no_grad;
  return AssignFlat(config_, Flatten(maps, config_.class_count), targets);
}

}  // namespace yoke::engine
