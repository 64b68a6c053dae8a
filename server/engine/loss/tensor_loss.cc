// Shapes: B batch, A anchor points, K classes, R bins, M ground truths of the fullest image.
#include "server/engine/loss/tensor_loss.h"

#include <algorithm>

#include "ATen/Context.h"
#include "server/engine/loss/box_iou.h"

namespace yoke::engine {
namespace {

constexpr int kBins = 16;
constexpr int kBest = 10;
constexpr double kEps = 1e-9;
// Pairs of ground truth and point looked at in one piece; each costs some 100 bytes for the time.
constexpr int64_t kPairsMax = 16'000'000;

// The maps flattened over levels and decoded.
struct Predictions {
  at::Tensor sides_BA4R;  // DFL logits of left, top, right, bottom
  at::Tensor logits_BAK;  // class logits
  at::Tensor boxes_BA4;   // xyxy in cells
  at::Tensor points_A2;   // in cells
  at::Tensor strides_A1;  // px per cell
  double width_px = 0, height_px = 0;
};

Predictions Flatten(const HeadMaps& maps, int class_count) {
  Predictions p;
  std::vector<at::Tensor> sides, logits, points, strides;
  const int64_t batch = maps.box[0].size(0);
  const auto options = maps.box[0].options().dtype(at::kFloat).requires_grad(false);
  for (size_t level = 0; level < 3; ++level) {
    const int64_t h = maps.box[level].size(2), w = maps.box[level].size(3);
    sides.push_back(maps.box[level].to(at::kFloat).flatten(2).transpose(1, 2));
    logits.push_back(maps.cls[level].to(at::kFloat).flatten(2).transpose(1, 2));
    const at::Tensor x = (at::arange(w, options) + 0.5).repeat({h});
    const at::Tensor y =
        (at::arange(h, options) + 0.5).reshape({h, 1}).expand({h, w}).reshape({h * w});
    points.push_back(at::stack({x, y}, 1));
    strides.push_back(at::full({h * w, 1}, kLevelStrides[level], options));
  }
  p.width_px = static_cast<double>(maps.box[0].size(3) * kLevelStrides[0]);
  p.height_px = static_cast<double>(maps.box[0].size(2) * kLevelStrides[0]);
  p.points_A2 = at::cat(points);
  p.strides_A1 = at::cat(strides);
  p.sides_BA4R = at::cat(sides, 1).reshape({batch, p.points_A2.size(0), 4, kBins});
  p.logits_BAK = at::cat(logits, 1);
  const at::Tensor distances = p.sides_BA4R.softmax(3).matmul(at::arange(kBins, options));
  p.boxes_BA4 = at::cat(
      {p.points_A2 - distances.narrow(2, 0, 2), p.points_A2 + distances.narrow(2, 2, 2)}, 2);
  return p;
}

// xyxy in px.
at::Tensor PixelBoxes(const Targets& targets, const Predictions& p) {
  const at::Tensor centre = targets.boxes_xywh_BM4.narrow(2, 0, 2);
  const at::Tensor half = targets.boxes_xywh_BM4.narrow(2, 2, 2) / 2;
  const at::Tensor corners = at::cat({centre - half, centre + half}, 2);
  // Multiplied axis by axis: a tensor of the two factors would have to be copied to the device.
  return at::stack({corners.select(2, 0) * p.width_px, corners.select(2, 1) * p.height_px,
                    corners.select(2, 2) * p.width_px, corners.select(2, 3) * p.height_px},
                   2);
}

// (B,M,A): the point lies strictly inside the box, which is first enlarged if the floor says so.
at::Tensor InsideMask(double floor, const at::Tensor& points_A2, const at::Tensor& boxes_BM4) {
  at::Tensor low = boxes_BM4.narrow(2, 0, 2), high = boxes_BM4.narrow(2, 2, 2);
  if (floor > 0) {
    const at::Tensor centre = (low + high) / 2;
    const at::Tensor small = (high - low) < floor;
    low = at::where(small, centre - floor / 2, low);
    high = at::where(small, centre + floor / 2, high);
  }
  const at::Tensor points = points_A2.view({1, 1, -1, 2});
  return at::minimum(points - low.unsqueeze(2), high.unsqueeze(2) - points).amin(3) > kEps;
}

// While it lives, scatters to places that differ are done as such. Deterministic algorithms sort
// the places first, for the case that they do not.
class PlainScatter {
 public:
  PlainScatter() { context_.setDeterministicAlgorithms(false, warn_only_); }
  ~PlainScatter() { context_.setDeterministicAlgorithms(deterministic_, warn_only_); }
  PlainScatter(const PlainScatter&) = delete;
  PlainScatter& operator=(const PlainScatter&) = delete;

 private:
  at::Context& context_ = at::globalContext();
  const bool deterministic_ = context_.deterministicAlgorithms();
  const bool warn_only_ = context_.deterministicAlgorithmsWarnOnly();
};

// Of some images. logits: before the sigmoid; boxes and points in px.
Assignment AssignSome(const LossConfig& config, const at::Tensor& logits_BAK,
                      const at::Tensor& boxes_BA4, const at::Tensor& points_A2,
                      const at::Tensor& class_BM, const at::Tensor& truths_BM4) {
  const int64_t batch = logits_BAK.size(0), anchors = logits_BAK.size(1), most = class_BM.size(1);
  const at::Tensor valid = truths_BM4.sum(2) > 0;
  const at::Tensor inside =
      InsideMask(config.tal_floor, points_A2, truths_BM4) & valid.unsqueeze(2);
  at::Tensor overlap = CompleteIou(truths_BM4.unsqueeze(2), boxes_BA4.unsqueeze(1)).clamp_min_(0);
  overlap = overlap.mul_(inside);
  const at::Tensor score = logits_BAK.transpose(1, 2)
                               .gather(1, class_BM.unsqueeze(2).expand({batch, most, anchors}))
                               .sigmoid();
  at::Tensor metric = score.sqrt() * overlap.pow(6);

  const at::Tensor best = std::get<1>(metric.topk(std::min<int64_t>(kBest, anchors), 2));
  at::Tensor claimed =
      at::zeros({batch, most, anchors}, inside.options()).scatter_(2, best, true) & inside;
  // A point claimed by several goes to the ground truth it overlaps most, claimant or not.
  const at::Tensor contested = claimed.sum(1, true) > 1;
  const at::Tensor strongest = at::zeros_like(claimed).scatter_(1, overlap.argmax(1, true), true);
  claimed = at::where(contested, strongest, claimed);

  Assignment result;
  result.foreground_BA = claimed.any(1);
  result.target_gt_BA = claimed.to(at::kByte).argmax(1);
  result.target_boxes_BA4 =
      truths_BM4.gather(1, result.target_gt_BA.unsqueeze(2).expand({batch, anchors, 4}));
  metric.mul_(claimed);
  overlap.mul_(claimed);
  const at::Tensor factor = overlap.amax(2, true) / (metric.amax(2, true) + kEps);
  const at::Tensor weight = (metric * factor).amax(1).mul_(result.foreground_BA);
  const at::Tensor label = class_BM.gather(1, result.target_gt_BA);
  result.target_scores_BAK = at::zeros_like(logits_BAK);
  result.target_scores_BAK.scatter_(2, label.unsqueeze(2), weight.unsqueeze(2));
  return result;
}

Assignment Assign(const LossConfig& config, const Predictions& p, const Targets& targets) {
  const at::NoGradGuard no_gradients;
  const PlainScatter places_differ;
  const int64_t batch = p.logits_BAK.size(0), anchors = p.logits_BAK.size(1),
                most = targets.class_BM.size(1);
  Assignment result;
  if (most == 0) {
    result.foreground_BA = at::zeros({batch, anchors}, p.logits_BAK.options().dtype(at::kBool));
    result.target_boxes_BA4 = at::zeros_like(p.boxes_BA4);
    result.target_scores_BAK = at::zeros_like(p.logits_BAK);
    result.target_gt_BA = at::zeros({batch, anchors}, targets.class_BM.options());
    return result;
  }
  const at::Tensor truths = PixelBoxes(targets, p);
  const at::Tensor boxes = p.boxes_BA4.detach() * p.strides_A1, points = p.points_A2 * p.strides_A1;
  const int64_t at_once = std::max<int64_t>(kPairsMax / (most * anchors), 1);
  std::vector<at::Tensor> foreground, target_boxes, scores, rows;
  for (int64_t first = 0; first < batch; first += at_once) {
    const int64_t count = std::min(at_once, batch - first);
    const Assignment some = AssignSome(
        config, p.logits_BAK.detach().narrow(0, first, count), boxes.narrow(0, first, count),
        points, targets.class_BM.narrow(0, first, count), truths.narrow(0, first, count));
    foreground.push_back(some.foreground_BA);
    target_boxes.push_back(some.target_boxes_BA4);
    scores.push_back(some.target_scores_BAK);
    rows.push_back(some.target_gt_BA);
  }
  return {at::cat(foreground), at::cat(target_boxes), at::cat(scores), at::cat(rows)};
}

// Distribution focal loss (B, A): cross entropy with the two bins beside the target, mean of the
// four sides. A bin's share is what is left of 1 at its distance from the target; spelt without
// gather, whose backward pass has to sort on devices.
at::Tensor DistributionFocal(const at::Tensor& sides_BA4R, const at::Tensor& target_BA4) {
  const at::Tensor t = target_BA4.clamp(0, kBins - 1 - 0.01).unsqueeze(3);
  const at::Tensor share = (1 - (at::arange(kBins, t.options()) - t).abs()).clamp_min(0);
  return -(sides_BA4R.log_softmax(3) * share).sum(3).mean(2);
}

}  // namespace

LossOutput TensorLoss(const LossConfig& config, const HeadMaps& maps, const Targets& targets) {
  const Predictions p = Flatten(maps, config.class_count);
  const Assignment assigned = Assign(config, p, targets);
  const at::Tensor mass = assigned.target_scores_BAK.sum().clamp_min(1.0);
  // Binary cross entropy of a logit x against y: log(1 + exp(x)) - x y.
  at::Tensor entropy = at::softplus(p.logits_BAK) - p.logits_BAK * assigned.target_scores_BAK;
  if (config.class_weight_K.defined()) entropy = entropy * config.class_weight_K;
  const at::Tensor cls = entropy.sum() / mass;

  // Points that answer for nothing weigh nothing; their own box as the target keeps them finite,
  // and every parameter in the graph.
  const at::Tensor weight = assigned.target_scores_BAK.sum(2);
  const at::Tensor target =
      at::where(assigned.foreground_BA.unsqueeze(2), assigned.target_boxes_BA4 / p.strides_A1,
                p.boxes_BA4.detach());
  const at::Tensor box = ((1 - CompleteIou(p.boxes_BA4, target)) * weight).sum() / mass;
  const at::Tensor sides =
      at::cat({p.points_A2 - target.narrow(2, 0, 2), target.narrow(2, 2, 2) - p.points_A2}, 2);
  const at::Tensor dfl = (DistributionFocal(p.sides_BA4R, sides) * weight).sum() / mass;

  const at::Tensor items =
      at::stack({box * config.box_gain, cls * config.cls_gain, dfl * config.dfl_gain});
  return {items.sum() * p.logits_BAK.size(0), items.detach()};
}

Assignment AssignTensors(const LossConfig& config, const HeadMaps& maps, const Targets& targets) {
  const at::NoGradGuard no_gradients;
  return Assign(config, Flatten(maps, config.class_count), targets);
}

}  // namespace yoke::engine
