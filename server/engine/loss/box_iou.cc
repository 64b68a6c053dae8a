#include "server/engine/loss/box_iou.h"

#include <numbers>

namespace yoke::engine {

at::Tensor CompleteIou(const at::Tensor& a, const at::Tensor& b) {
  constexpr double kEps = 1e-7;
  const at::Tensor ax1 = a.select(-1, 0), ay1 = a.select(-1, 1);
  const at::Tensor ax2 = a.select(-1, 2), ay2 = a.select(-1, 3);
  const at::Tensor bx1 = b.select(-1, 0), by1 = b.select(-1, 1);
  const at::Tensor bx2 = b.select(-1, 2), by2 = b.select(-1, 3);
  // The reference adds eps to heights only.
  const at::Tensor aw = ax2 - ax1, ah = ay2 - ay1 + kEps;
  const at::Tensor bw = bx2 - bx1, bh = by2 - by1 + kEps;
  const at::Tensor overlap = (at::minimum(ax2, bx2) - at::maximum(ax1, bx1)).clamp_min(0) *
                             (at::minimum(ay2, by2) - at::maximum(ay1, by1)).clamp_min(0);
  const at::Tensor iou = overlap / (aw * ah + bw * bh - overlap + kEps);
  const at::Tensor enclosing_w = at::maximum(ax2, bx2) - at::minimum(ax1, bx1);
  const at::Tensor enclosing_h = at::maximum(ay2, by2) - at::minimum(ay1, by1);
  const at::Tensor diagonal2 = enclosing_w.pow(2) + enclosing_h.pow(2) + kEps;
  const at::Tensor distance2 =
      ((bx1 + bx2 - ax1 - ax2).pow(2) + (by1 + by2 - ay1 - ay2).pow(2)) / 4;
  const at::Tensor v =
      (at::atan(bw / bh) - at::atan(aw / ah)).pow(2) * (4 / (std::numbers::pi * std::numbers::pi));
  at::Tensor alpha;
  {
    at::NoGradGuard no_grad;
    alpha = v / (v - iou + (1 + kEps));
  }
  return iou - (distance2 / diagonal2 + v * alpha);
}

}  // namespace yoke::engine
