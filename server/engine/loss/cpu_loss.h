// The YOLOv8 criterion and its gradient on plain memory, for CPUs: only what can matter is
// computed, image by image, on as many threads as the caller runs. Same formulas as tensor_loss.h;
// both are compared with the reference.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

namespace yoke::engine {

// One level of the head: maps of one image after the other, pixel by pixel. T: float or
// kernels::BFloat16.
template <typename T>
struct LevelMemory {
  int64_t height = 0, width = 0;
  int stride = 0;          // px per cell
  const T* box = nullptr;  // (images, height, width, 4 * 16): logits of the sides' bins
  const T* cls = nullptr;  // (images, height, width, classes): logits
  T* grad_box = nullptr;   // as box; written whole
  T* grad_cls = nullptr;   // as cls; written whole
};

struct PixelTruth {
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;  // px of the network's input
  int class_id = 0;
};

struct CpuLossConfig {
  int classes = 0;
  double box_gain = 0, cls_gain = 0, dfl_gain = 0;
  double tal_floor = 0;             // px, see LossConfig
  std::vector<float> class_weight;  // one a class; empty: all 1
};

struct CpuLossItems {
  double box = 0, cls = 0, dfl = 0;  // after gains
};

// Runs work(i) for i in [0, count), on several threads if it likes.
using ForEachImage = std::function<void(int64_t count, const std::function<void(int64_t)>& work)>;

// `truths`: per image. Gradients are those of (box + cls + dfl) * images.
template <typename T>
CpuLossItems CpuLoss(const CpuLossConfig& config, const std::array<LevelMemory<T>, 3>& levels,
                     const std::vector<std::vector<PixelTruth>>& truths,
                     const ForEachImage& for_each);

}  // namespace yoke::engine
