// The text of a YOLO label file: one object a line, judged line by line.
//
// A line is `class x y w h` (centre and size, norm) or a polygon `class x1 y1 x2 y2 x3 y3 ...` of
// at least three points, which is kept beside its bounding box. Blank lines, CRLF and a byte-order
// mark are tolerated.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace yoke::formats {

struct LabelRules {
  int class_count = 0;      // ids are 0 .. class_count - 1; 0: any id
  bool single_cls = false;  // every object becomes class 0, whatever id it has
  int64_t rows_max = 100'000;
  int64_t points_max = 1'000'000;  // of all polygons of a file
};

struct LabelRow {
  int class_id = 0;
  float x = 0, y = 0, w = 0, h = 0;  // centre and size, norm
  bool operator==(const LabelRow&) const = default;
};

struct LabelFile {
  std::vector<LabelRow> rows;  // in the file's order, repeated rows left out
  int64_t duplicates = 0;      // rows whose class, box and polygon an earlier one has
  int64_t polygons = 0;        // rows that are polygons
  // The corners of all polygons, x and y in turn, norm; row i's end before corner polygon_ends[i],
  // which for a row without polygon is where the row before ends.
  std::vector<float> polygon_xy;
  std::vector<uint32_t> polygon_ends;
};

// InvalidArgument "NAME:LINE: what; what to do" for the first line that breaks a rule.
absl::StatusOr<LabelFile> ParseLabelFile(std::string_view text, std::string_view name,
                                         const LabelRules& rules);

}  // namespace yoke::formats
