// confusion_matrix.png and confusion_matrix_normalized.png.
#pragma once

#include <string>
#include <vector>

#include "server/engine/eval/confusion_matrix.h"
#include "server/engine/plots/canvas.h"

namespace yoke::engine {

// Up to so many rows (background included) have their numbers written in the cells, or their names
// beside them.
inline constexpr int kCellTextsMax = 30, kCellNamesMax = 100;

// Predicted class downwards, true class to the right, background last. `normalized`: each column's
// share of its sum, so that the diagonal is the recall at the matrix's confidence. Cells under
// 0.005 of a whole object, or of the column, stay without a number. More classes than pixels: a
// pixel shows the largest of its cells.
Figure DrawConfusion(const ConfusionMatrix& matrix, const std::vector<std::string>& names,
                     bool normalized);

}  // namespace yoke::engine
