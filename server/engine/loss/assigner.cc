#include "server/engine/loss/assigner.h"

#include <algorithm>

#include "server/engine/loss/box_iou.h"

namespace yoke::engine {
namespace {

constexpr double kEps = 1e-9;

// (B,M,A): the point lies strictly inside the box, which is first enlarged if the floor says so.
at::Tensor InsideMask(const LossConfig& config, const at::Tensor& points_A2,
                      const at::Tensor& boxes_BM4) {
  at::Tensor low = boxes_BM4.narrow(2, 0, 2), high = boxes_BM4.narrow(2, 2, 2);
  if (config.tal_floor > 0) {
    const at::Tensor centre = (low + high) / 2;
    const at::Tensor small = (high - low) < config.tal_floor;
    low = at::where(small, centre - config.tal_floor / 2, low);
    high = at::where(small, centre + config.tal_floor / 2, high);
  }
  const at::Tensor points = points_A2.view({1, 1, -1, 2});
  return at::minimum(points - low.unsqueeze(2), high.unsqueeze(2) - points).amin(3) > kEps;
}

}  // namespace

PaddedTargets PadTargets(const Targets& targets, int64_t batch, int64_t width, int64_t height) {
  const at::Tensor& image = targets.image_index_N;
  const int64_t total = image.size(0);
  const at::Tensor counts = at::bincount(image, {}, batch);
  const int64_t most = total == 0 ? 0 : counts.max().item<int64_t>();
  PaddedTargets padded;
  padded.class_BM = at::zeros({batch, most}, image.options());
  padded.boxes_xyxy_px_BM4 = at::zeros({batch, most, 4}, targets.boxes_xywh_N4.options());
  if (total > 0) {
    const at::Tensor first = counts.cumsum(0) - counts;
    const at::Tensor column = at::arange(total, image.options()) - first.index({image});
    const at::Tensor scale = at::tensor({width, height}, at::kFloat).to(image.device());
    const at::Tensor centre = targets.boxes_xywh_N4.narrow(1, 0, 2) * scale;
    const at::Tensor half = targets.boxes_xywh_N4.narrow(1, 2, 2) * scale / 2;
    padded.class_BM.index_put_({image, column}, targets.class_N);
    padded.boxes_xyxy_px_BM4.index_put_({image, column},
                                        at::cat({centre - half, centre + half}, 1));
  }
  padded.valid_BM = padded.boxes_xyxy_px_BM4.sum(2) > 0;
  return padded;
}

Assignment AssignTargets(const LossConfig& config, const at::Tensor& logits_BAK,
                         const at::Tensor& boxes_BA4, const at::Tensor& points_A2,
                         const PaddedTargets& targets) {
  at::NoGradGuard no_grad;
  const int64_t batch = logits_BAK.size(0), anchors = logits_BAK.size(1),
                classes = logits_BAK.size(2);
  const int64_t most = targets.class_BM.size(1);
  Assignment result;
  if (most == 0) {
    result.foreground_BA = at::zeros({batch, anchors}, logits_BAK.options().dtype(at::kBool));
    result.target_boxes_BA4 = at::zeros({batch, anchors, 4}, boxes_BA4.options());
    result.target_scores_BAK = at::zeros({batch, anchors, classes}, boxes_BA4.options());
    result.target_gt_BA = at::zeros({batch, anchors}, targets.class_BM.options());
    return result;
  }

  const at::Tensor inside =
      InsideMask(config, points_A2, targets.boxes_xyxy_px_BM4) & targets.valid_BM.unsqueeze(2);
  // Only pairs of a ground truth and a point inside it can score; the rest stays 0.
  at::Tensor metric = at::zeros({batch, most, anchors}, boxes_BA4.options());
  at::Tensor overlap = at::zeros_like(metric);
  const at::Tensor pairs = inside.nonzero();
  const at::Tensor b = pairs.select(1, 0), m = pairs.select(1, 1), a = pairs.select(1, 2);
  const at::Tensor iou =
      CompleteIou(targets.boxes_xyxy_px_BM4.index({b, m}), boxes_BA4.index({b, a})).clamp_min_(0);
  const at::Tensor score = logits_BAK.index({b, a, targets.class_BM.index({b, m})}).sigmoid();
  overlap.index_put_({b, m, a}, iou);
  metric.index_put_({b, m, a}, score.pow(config.alpha) * iou.pow(config.beta));

  const at::Tensor best = std::get<1>(metric.topk(std::min<int64_t>(config.topk, anchors), 2));
  at::Tensor claimed =
      at::zeros({batch, most, anchors}, inside.options()).scatter_(2, best, true) & inside;

  // A point claimed by several goes to the ground truth it overlaps most, claimant or not.
  const at::Tensor contested = claimed.sum(1, true) > 1;
  const at::Tensor strongest = at::zeros_like(claimed).scatter_(1, overlap.argmax(1, true), true);
  claimed = at::where(contested, strongest, claimed);

  result.foreground_BA = claimed.any(1);
  result.target_gt_BA = claimed.to(at::kByte).argmax(1);
  result.target_boxes_BA4 = targets.boxes_xyxy_px_BM4.gather(
      1, result.target_gt_BA.unsqueeze(2).expand({batch, anchors, 4}));

  metric.mul_(claimed);
  overlap.mul_(claimed);
  const at::Tensor factor = overlap.amax(2, true) / (metric.amax(2, true) + kEps);
  const at::Tensor weight = (metric * factor).amax(1).mul_(result.foreground_BA);
  result.target_scores_BAK = at::zeros({batch, anchors, classes}, boxes_BA4.options());
  const at::Tensor label = targets.class_BM.gather(1, result.target_gt_BA);
  result.target_scores_BAK.scatter_(2, label.unsqueeze(2), weight.unsqueeze(2));
  return result;
}

}  // namespace yoke::engine
