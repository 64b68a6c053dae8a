#include "server/engine/loss/cpu_loss.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "server/engine/kernels/vector_loops.h"
#include "server/engine/loss/complete_iou.h"
#include "server/engine/loss/task_alignment.h"

namespace yoke::engine {
namespace {

using kernels::BFloat16;
using kernels::LoopsOf;

constexpr int kSides = 4, kBins = 16;
constexpr float kBinMax = kBins - 1 - 0.01f;
constexpr int64_t kRowMin =
    256;  // logits treated as one row, so that few classes fill wide registers too

float Load(float value) { return value; }
float Load(BFloat16 value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value.bits) << 16);
}
void Add(float value, float& to) { to += value; }
void Add(float value, BFloat16& to) {
  const auto bits = __builtin_bit_cast(uint32_t, Load(to) + value);
  to.bits = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Softmax of one side's bins.
template <typename T>
void Softmax(const T* logits, float* p) {
  float most = Load(logits[0]);
  for (int k = 1; k < kBins; ++k) most = std::max(most, Load(logits[k]));
  LoopsOf<T>().loss.exponential(logits, most, kBins, p);
  float sum = 0;
  for (int k = 0; k < kBins; ++k) sum += p[k];
  for (int k = 0; k < kBins; ++k) p[k] /= sum;
}

float Expectation(const float* p) {
  float sum = 0;
  for (int k = 1; k < kBins; ++k) sum += p[k] * static_cast<float>(k);
  return sum;
}

// A point that answers for a ground truth.
struct Foreground {
  int level = 0;
  int64_t cell = 0;  // row * width + column
  int truth = 0;     // index into the image's
  float weight = 0;  // the target score
};

template <typename T>
class ImageLoss {
 public:
  ImageLoss(const CpuLossConfig& config, const std::array<LevelMemory<T>, 3>& levels, int64_t image,
            const std::vector<PixelTruth>& truths)
      : config_(config), levels_(levels), image_(image), truths_(truths) {}

  // Which points answer for what; the sum of their weights.
  double Assign() {
    PointGrid grid;
    for (const auto& level : levels_)
      grid.levels.push_back({level.height, level.width, level.stride});
    const auto predict = [this](int level, int64_t cell) { return DecodePx(level, cell); };
    const auto logit = [this](int level, int64_t cell, int class_id) {
      return Load(ClassLogits(level, cell)[class_id]);
    };
    double mass = 0;
    for (const AlignedPoint& point :
         AlignTask(grid, truths_, static_cast<float>(config_.tal_floor), predict, logit)) {
      foreground_.push_back({point.level, point.cell, point.truth, point.weight});
      mass += point.weight;
    }
    return mass;
  }

  // Losses before gains and division by `mass`, and all gradients times `scale` / mass and their
  // gains.
  CpuLossItems Differentiate(double mass, double scale) {
    CpuLossItems sums;
    const auto per_mass = static_cast<float>(scale / mass);
    sums.cls = ClassBackground(per_mass * static_cast<float>(config_.cls_gain));
    for (int level = 0; level < 3; ++level) {
      const LevelMemory<T>& memory = levels_[static_cast<size_t>(level)];
      const int64_t values = memory.height * memory.width * kSides * kBins;
      std::memset(static_cast<void*>(memory.grad_box + image_ * values), 0,
                  static_cast<size_t>(values) * sizeof(T));
    }
    for (const Foreground& point : foreground_) {
      sums.cls += ClassForeground(point, per_mass * static_cast<float>(config_.cls_gain));
      BoxForeground(point, per_mass, sums);
    }
    return sums;
  }

 private:
  const LevelMemory<T>& Level(int level) const { return levels_[static_cast<size_t>(level)]; }
  int64_t CellOffset(int level, int64_t cell) const {
    return image_ * Level(level).height * Level(level).width + cell;
  }
  const T* BoxLogits(int level, int64_t cell) const {
    return Level(level).box + CellOffset(level, cell) * kSides * kBins;
  }
  const T* ClassLogits(int level, int64_t cell) const {
    return Level(level).cls + CellOffset(level, cell) * config_.classes;
  }
  float WeightOf(int class_id) const {
    return config_.class_weight.empty() ? 1 : config_.class_weight[static_cast<size_t>(class_id)];
  }

  // Centre of a cell, in cells.
  std::array<float, 2> Centre(int level, int64_t cell) const {
    const int64_t width = Level(level).width;
    return {static_cast<float>(cell % width) + 0.5f, static_cast<float>(cell / width) + 0.5f};
  }

  PixelTruth DecodePx(int level, int64_t cell) const {
    const T* logits = BoxLogits(level, cell);
    float p[kBins], side[kSides];
    for (int s = 0; s < kSides; ++s) {
      Softmax(logits + s * kBins, p);
      side[s] = Expectation(p);
    }
    const auto [x, y] = Centre(level, cell);
    const auto px = static_cast<float>(Level(level).stride);
    return {(x - side[0]) * px, (y - side[1]) * px, (x + side[2]) * px, (y + side[3]) * px, 0};
  }

  // Every logit as if nothing were there.
  double ClassBackground(float scale) {
    const int classes = config_.classes;
    const int64_t repeats = std::max<int64_t>(kRowMin / classes, 1), row = repeats * classes;
    std::vector<float> weight, sum(static_cast<size_t>(row));
    for (int64_t i = 0; i < row; ++i) weight.push_back(WeightOf(static_cast<int>(i % classes)));
    double total = 0;
    for (const LevelMemory<T>& level : levels_) {
      const int64_t values = level.height * level.width * classes;
      const T* logits = level.cls + image_ * values;
      T* grad = level.grad_cls + image_ * values;
      std::fill(sum.begin(), sum.end(), 0.0f);
      for (int64_t at = 0; at < values; at += row) {
        LoopsOf<T>().loss.cross_entropy(logits + at, weight.data(), scale,
                                        std::min(row, values - at), sum.data(), grad + at);
      }
      for (const float one : sum) total += one;
    }
    return total;
  }

  // What the target changes: -w t x, and its slope.
  double ClassForeground(const Foreground& point, float scale) {
    const int class_id = truths_[static_cast<size_t>(point.truth)].class_id;
    const float target = point.weight * WeightOf(class_id);
    T* grad = Level(point.level).grad_cls + CellOffset(point.level, point.cell) * config_.classes;
    Add(-target * scale, grad[class_id]);
    return -static_cast<double>(target) * Load(ClassLogits(point.level, point.cell)[class_id]);
  }

  void BoxForeground(const Foreground& point, float per_mass, CpuLossItems& sums) {
    const T* logits = BoxLogits(point.level, point.cell);
    T* grad = Level(point.level).grad_box + CellOffset(point.level, point.cell) * kSides * kBins;
    float p[kSides][kBins], side[kSides];
    for (int s = 0; s < kSides; ++s) {
      Softmax(logits + s * kBins, p[s]);
      side[s] = Expectation(p[s]);
    }
    const auto [x, y] = Centre(point.level, point.cell);
    const PixelTruth& truth = truths_[static_cast<size_t>(point.truth)];
    const auto px = static_cast<float>(Level(point.level).stride);
    const float x1 = truth.x1 / px, y1 = truth.y1 / px, x2 = truth.x2 / px, y2 = truth.y2 / px;

    using Slopes = Dual<kSides>;
    const BoxOf<Slopes> predicted = {Slopes(x) - Slopes(side[0], 0), Slopes(y) - Slopes(side[1], 1),
                                     Slopes(x) + Slopes(side[2], 2),
                                     Slopes(y) + Slopes(side[3], 3)};
    const Slopes iou = CompleteIouOf<Slopes>(predicted, {x1, y1, x2, y2});
    sums.box += (1.0 - iou.value) * point.weight;
    const float box_scale = -per_mass * static_cast<float>(config_.box_gain) * point.weight;

    const float target[kSides] = {x - x1, y - y1, x2 - x, y2 - y};
    const float dfl_scale = per_mass * static_cast<float>(config_.dfl_gain) * point.weight / kSides;
    for (int s = 0; s < kSides; ++s) {
      const float t = std::clamp(target[s], 0.0f, kBinMax);
      const auto low = static_cast<int>(t);
      const float upper = t - static_cast<float>(low);
      // log p from p: the bins beside the target may be far below the largest, but not below e^-87.
      sums.dfl -= (std::log(p[s][low]) * (1 - upper) + std::log(p[s][low + 1]) * upper) *
                  point.weight / kSides;
      for (int k = 0; k < kBins; ++k) {
        const float wanted = k == low ? 1 - upper : k == low + 1 ? upper : 0;
        const float slope = box_scale * iou.slope[static_cast<size_t>(s)] * p[s][k] *
                                (static_cast<float>(k) - side[s]) +
                            dfl_scale * (p[s][k] - wanted);
        Add(slope, grad[s * kBins + k]);
      }
    }
  }

  const CpuLossConfig& config_;
  const std::array<LevelMemory<T>, 3>& levels_;
  const int64_t image_;
  const std::vector<PixelTruth>& truths_;
  std::vector<Foreground> foreground_;
};

}  // namespace

template <typename T>
CpuLossItems CpuLoss(const CpuLossConfig& config, const std::array<LevelMemory<T>, 3>& levels,
                     const std::vector<std::vector<PixelTruth>>& truths,
                     const ForEachImage& for_each) {
  std::vector<ImageLoss<T>> images;
  for (size_t i = 0; i < truths.size(); ++i)
    images.emplace_back(config, levels, static_cast<int64_t>(i), truths[i]);
  const auto count = static_cast<int64_t>(images.size());
  std::vector<double> masses(images.size());
  for_each(count, [&](int64_t i) {
    masses[static_cast<size_t>(i)] = images[static_cast<size_t>(i)].Assign();
  });
  double mass = 0;
  for (const double one : masses) mass += one;
  mass = std::max(mass, 1.0);
  std::vector<CpuLossItems> sums(images.size());
  for_each(count, [&](int64_t i) {
    sums[static_cast<size_t>(i)] =
        images[static_cast<size_t>(i)].Differentiate(mass, static_cast<double>(count));
  });
  CpuLossItems items;
  for (const CpuLossItems& one : sums) {
    items.box += one.box;
    items.cls += one.cls;
    items.dfl += one.dfl;
  }
  items.box *= config.box_gain / mass;
  items.cls *= config.cls_gain / mass;
  items.dfl *= config.dfl_gain / mass;
  return items;
}

template CpuLossItems CpuLoss(const CpuLossConfig&, const std::array<LevelMemory<float>, 3>&,
                              const std::vector<std::vector<PixelTruth>>&, const ForEachImage&);
template CpuLossItems CpuLoss(const CpuLossConfig&, const std::array<LevelMemory<BFloat16>, 3>&,
                              const std::vector<std::vector<PixelTruth>>&, const ForEachImage&);

}  // namespace yoke::engine
