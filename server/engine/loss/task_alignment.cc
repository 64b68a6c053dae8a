#include "server/engine/loss/task_alignment.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "server/engine/loss/complete_iou.h"

namespace yoke::engine {
namespace {

constexpr size_t kBest = 10;
constexpr float kInsideMin = 1e-9f;  // px between a point and each side
constexpr float kEps = 1e-9f;

struct Point {
  int level = 0;
  int64_t cell = 0;
  PixelTruth box;              // decoded, px
  std::vector<int> claimants;  // truths that have it among their best
  std::vector<int> around;     // pairs with truths it lies in
};

// A point inside a truth.
struct Pair {
  int truth = 0, point = 0;
  float metric = 0, overlap = 0;
};

class Aligner {
 public:
  Aligner(const PointGrid& grid, const std::vector<PixelTruth>& truths, float tal_floor,
          const std::function<PixelTruth(int, int64_t)>& predict,
          const std::function<float(int, int64_t, int)>& logit)
      : grid_(grid), truths_(truths), floor_(tal_floor), predict_(predict), logit_(logit) {}

  std::vector<AlignedPoint> Run() {
    for (size_t t = 0; t < truths_.size(); ++t) {
      const PixelTruth& truth = truths_[t];
      if (truth.x1 + truth.y1 + truth.x2 + truth.y2 > 0) Claim(static_cast<int>(t));
    }
    return Resolve();
  }

 private:
  // [low, high] of one axis as the search for points inside sees it.
  void Enlarge(float& low, float& high) const {
    if (!(high - low < floor_)) return;
    const float centre = (low + high) / 2;
    low = centre - floor_ / 2;
    high = centre + floor_ / 2;
  }

  int PointAt(int level, int64_t cell) {
    const int64_t key = cell * static_cast<int64_t>(grid_.levels.size()) + level;
    const auto [found, is_new] = index_.try_emplace(key, static_cast<int>(points_.size()));
    if (is_new) points_.push_back({level, cell, predict_(level, cell), {}, {}});
    return found->second;
  }

  void Claim(int truth_index) {
    const PixelTruth& truth = truths_[static_cast<size_t>(truth_index)];
    float x1 = truth.x1, y1 = truth.y1, x2 = truth.x2, y2 = truth.y2;
    Enlarge(x1, x2);
    Enlarge(y1, y2);
    const size_t first = pairs_.size();
    for (size_t l = 0; l < grid_.levels.size(); ++l) {
      const PointGrid::Level& level = grid_.levels[l];
      const auto px = static_cast<float>(level.stride);
      const auto begin = [&](float low) {
        return std::max<int64_t>(static_cast<int64_t>(std::floor(low / px - 0.5f)), 0);
      };
      for (int64_t row = begin(y1); row < level.height; ++row) {
        const float y = (static_cast<float>(row) + 0.5f) * px;
        if (y2 - y <= kInsideMin) break;
        if (y - y1 <= kInsideMin) continue;
        for (int64_t column = begin(x1); column < level.width; ++column) {
          const float x = (static_cast<float>(column) + 0.5f) * px;
          if (x2 - x <= kInsideMin) break;
          if (x - x1 <= kInsideMin) continue;
          Consider(truth_index, static_cast<int>(l), row * level.width + column);
        }
      }
    }
    // The best by metric; points that score nothing weigh nothing and are left out.
    std::vector<int> order;
    for (size_t i = first; i < pairs_.size(); ++i) {
      if (pairs_[i].metric > 0) order.push_back(static_cast<int>(i));
    }
    const size_t count = std::min(kBest, order.size());
    std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(count), order.end(),
                      [&](int a, int b) {
                        const float ma = pairs_[static_cast<size_t>(a)].metric,
                                    mb = pairs_[static_cast<size_t>(b)].metric;
                        return ma != mb ? ma > mb : a < b;
                      });
    for (size_t i = 0; i < count; ++i) {
      const Pair& pair = pairs_[static_cast<size_t>(order[i])];
      points_[static_cast<size_t>(pair.point)].claimants.push_back(order[i]);
    }
  }

  void Consider(int truth_index, int level, int64_t cell) {
    const PixelTruth& truth = truths_[static_cast<size_t>(truth_index)];
    const int point = PointAt(level, cell);
    const PixelTruth& box = points_[static_cast<size_t>(point)].box;
    const float overlap = std::max(CompleteIouOf<float>({truth.x1, truth.y1, truth.x2, truth.y2},
                                                        {box.x1, box.y1, box.x2, box.y2}),
                                   0.0f);
    float metric = 0;
    if (overlap > 0) {
      const float score = 1 / (1 + std::exp(-logit_(level, cell, truth.class_id)));
      const float cube = overlap * overlap * overlap;
      metric = std::sqrt(score) * cube * cube;
    }
    points_[static_cast<size_t>(point)].around.push_back(static_cast<int>(pairs_.size()));
    pairs_.push_back({truth_index, point, metric, overlap});
  }

  // A point claimed by several goes to the truth it overlaps most, claimant or not; the first of
  // equals.
  int Winner(const Point& point) const {
    if (point.claimants.size() == 1) return point.claimants[0];
    int best = point.around[0];
    for (const int pair : point.around) {
      if (pairs_[static_cast<size_t>(pair)].overlap > pairs_[static_cast<size_t>(best)].overlap)
        best = pair;
    }
    return best;
  }

  std::vector<AlignedPoint> Resolve() const {
    std::vector<float> metric_max(truths_.size(), 0.0f), overlap_max(truths_.size(), 0.0f);
    std::vector<const Pair*> won;
    for (const Point& point : points_) {
      if (point.claimants.empty()) continue;
      const Pair& pair = pairs_[static_cast<size_t>(Winner(point))];
      const auto truth = static_cast<size_t>(pair.truth);
      metric_max[truth] = std::max(metric_max[truth], pair.metric);
      overlap_max[truth] = std::max(overlap_max[truth], pair.overlap);
      won.push_back(&pair);
    }
    std::vector<AlignedPoint> aligned;
    for (const Pair* pair : won) {
      const Point& point = points_[static_cast<size_t>(pair->point)];
      const auto truth = static_cast<size_t>(pair->truth);
      aligned.push_back({point.level, point.cell, pair->truth,
                         pair->metric * (overlap_max[truth] / (metric_max[truth] + kEps))});
    }
    return aligned;
  }

  const PointGrid& grid_;
  const std::vector<PixelTruth>& truths_;
  const float floor_;
  const std::function<PixelTruth(int, int64_t)>& predict_;
  const std::function<float(int, int64_t, int)>& logit_;
  std::unordered_map<int64_t, int> index_;
  std::vector<Point> points_;
  std::vector<Pair> pairs_;
};

}  // namespace

std::vector<AlignedPoint> AlignTask(const PointGrid& grid, const std::vector<PixelTruth>& truths,
                                    float tal_floor,
                                    const std::function<PixelTruth(int, int64_t)>& predict,
                                    const std::function<float(int, int64_t, int)>& logit) {
  return Aligner(grid, truths, tal_floor, predict, logit).Run();
}

}  // namespace yoke::engine
