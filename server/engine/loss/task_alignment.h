// The task-aligned assigner (TOOD, arXiv 2108.07755) of one image on plain memory: only points
// inside a ground truth are looked at. Constants are the YOLOv8 reference's: the best 10 points of
// each ground truth by sqrt(score) * CIoU^6.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "server/engine/loss/cpu_loss.h"

namespace yoke::engine {

struct PointGrid {
  struct Level {
    int64_t height = 0, width = 0;
    int stride = 0;  // px per cell
  };
  std::vector<Level> levels;
};

struct AlignedPoint {
  int level = 0;
  int64_t cell = 0;
  int truth = 0;     // index
  float weight = 0;  // target score of the truth's class
};

// `tal_floor`: px that a side counts as at least when points inside are sought. `predict`: the box
// that a point decodes to, in px; called at most once a point. `logit`: of a class at a point. A
// truth whose coordinates sum to 0 or less is padding.
std::vector<AlignedPoint> AlignTask(
    const PointGrid& grid, const std::vector<PixelTruth>& truths, float tal_floor,
    const std::function<PixelTruth(int level, int64_t cell)>& predict,
    const std::function<float(int level, int64_t cell, int class_id)>& logit);

}  // namespace yoke::engine
