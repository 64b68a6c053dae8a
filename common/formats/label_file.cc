#include "common/formats/label_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace yoke::formats {
namespace {

constexpr size_t kColumnsMax = 20'001;  // a polygon of 10,000 points
constexpr int64_t kClassMax = 1'000'000;

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }

void SplitColumns(std::string_view line, std::vector<std::string_view>& columns) {
  columns.clear();
  size_t at = 0;
  while (at < line.size() && columns.size() <= kColumnsMax) {
    while (at < line.size() && IsBlank(line[at])) ++at;
    const size_t begin = at;
    while (at < line.size() && !IsBlank(line[at])) ++at;
    if (at > begin) columns.push_back(line.substr(begin, at - begin));
  }
}

// A user's bytes in a message: short and printable.
std::string Quote(std::string_view text) {
  std::string out = "'";
  for (char c : text.substr(0, 24)) out += (c >= 32 && c < 127) ? c : '?';
  if (text.size() > 24) out += "...";
  return out + "'";
}

// Also of "nan" and "inf", which callers refuse with a better sentence. Out of double's range is
// infinite.
bool ParseNumber(std::string_view text, double* value) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  if (error == std::errc::result_out_of_range) *value = std::numeric_limits<double>::infinity();
  return error != std::errc::invalid_argument && end == text.data() + text.size();
}

uint64_t Mix(uint64_t hash, float value) {
  hash = (hash ^ std::hash<float>()(value)) * 0xff51afd7ed558ccdull;
  return hash ^ hash >> 32;
}

uint64_t HashOf(const LabelRow& row, const std::vector<float>& polygon) {
  uint64_t hash = static_cast<uint64_t>(row.class_id) + 0x9e3779b97f4a7c15ull;
  for (float v : {row.x, row.y, row.w, row.h}) hash = Mix(hash, v);
  for (float v : polygon) hash = Mix(hash, v);
  return hash;
}

bool SameRow(const LabelFile& file, size_t i, const LabelRow& row,
             const std::vector<float>& polygon) {
  const size_t begin = i == 0 ? 0 : file.polygon_ends[i - 1];
  const auto first = file.polygon_xy.begin() + static_cast<ptrdiff_t>(2 * begin);
  const auto last = file.polygon_xy.begin() + static_cast<ptrdiff_t>(2 * file.polygon_ends[i]);
  return file.rows[i] == row && std::equal(first, last, polygon.begin(), polygon.end());
}

// Empty on success, else what is wrong and what to do. `values`: the corners of a polygon, empty
// for a box.
std::string ParseRow(const std::vector<std::string_view>& columns, const LabelRules& rules,
                     std::vector<float>& values, LabelRow& row) {
  const size_t count = columns.size();
  if (count > kColumnsMax)
    return absl::StrCat("more than ", kColumnsMax, " columns; is this a label file?");
  if (count == 6) {
    return "6 columns, 5 expected (class x y w h); is the last one a confidence? Remove it";
  }
  if (count != 5 && (count < 7 || count % 2 == 0)) {
    return absl::StrCat(count, count == 1 ? " column" : " columns",
                        ", 5 expected (class x y w h) or a polygon (class x1 y1 x2 y2 x3 y3 ...)");
  }
  double class_value = 0;
  if (!ParseNumber(columns[0], &class_value) || !std::isfinite(class_value) ||
      class_value != std::floor(class_value)) {
    return absl::StrCat("class id ", Quote(columns[0]), " is no whole number");
  }
  if (class_value < 0)
    return absl::StrCat("class id ", Quote(columns[0]), " is negative; ids start at 0");
  if (class_value > kClassMax) return absl::StrCat("class id ", Quote(columns[0]), " is too large");
  row.class_id = static_cast<int>(class_value);
  if (rules.single_cls) {
    row.class_id = 0;
  } else if (rules.class_count > 0 && row.class_id >= rules.class_count) {
    return absl::StrCat("class id ", row.class_id, " but the data set has ", rules.class_count,
                        rules.class_count == 1
                            ? " class (id 0"
                            : absl::StrCat(" classes (ids 0 to ", rules.class_count - 1),
                        "); correct the id or add the class to names");
  }
  values.clear();
  for (size_t i = 1; i < count; ++i) {
    double value = 0;
    if (!ParseNumber(columns[i], &value)) {
      return absl::StrCat(Quote(columns[i]), " is no number");
    }
    if (!std::isfinite(value)) return absl::StrCat(Quote(columns[i]), " is not a finite number");
    if (value < 0) {
      return absl::StrCat(Quote(columns[i]),
                          " is negative; coordinates are fractions of the image, 0 to 1");
    }
    if (value > 1) {
      return absl::StrCat(
          Quote(columns[i]),
          " is above 1; coordinates are fractions of the image, 0 to 1: divide pixels by "
          "its width or height");
    }
    values.push_back(static_cast<float>(value));
  }
  if (count == 5) {
    row.x = values[0], row.y = values[1], row.w = values[2], row.h = values[3];
    values.clear();
    return "";
  }
  float x1 = 1, y1 = 1, x2 = 0, y2 = 0;
  for (size_t i = 0; i < values.size(); i += 2) {
    x1 = std::min(x1, values[i]), x2 = std::max(x2, values[i]);
    y1 = std::min(y1, values[i + 1]), y2 = std::max(y2, values[i + 1]);
  }
  row.x = (x1 + x2) / 2, row.y = (y1 + y2) / 2, row.w = x2 - x1, row.h = y2 - y1;
  return "";
}

}  // namespace

absl::StatusOr<LabelFile> ParseLabelFile(std::string_view text, std::string_view name,
                                         const LabelRules& rules) {
  LabelFile file;
  std::unordered_multimap<uint64_t, size_t> seen;  // rows by hash
  std::vector<std::string_view> columns;
  std::vector<float> values;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  for (int64_t line_number = 1; !text.empty(); ++line_number) {
    const size_t end = std::min(text.find('\n'), text.size());
    SplitColumns(text.substr(0, end), columns);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (columns.empty()) continue;
    LabelRow row;
    std::string problem = ParseRow(columns, rules, values, row);
    if (problem.empty() && static_cast<int64_t>(file.rows.size()) >= rules.rows_max) {
      problem = absl::StrCat("more than ", rules.rows_max, " objects in one image");
    }
    if (problem.empty() &&
        static_cast<int64_t>(file.polygon_xy.size() + values.size()) / 2 > rules.points_max) {
      problem = absl::StrCat("more than ", rules.points_max, " polygon corners in one image");
    }
    if (!problem.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(std::string(name), ":", line_number, ": ", problem));
    }
    const uint64_t hash = HashOf(row, values);
    const auto [first, last] = seen.equal_range(hash);
    if (std::any_of(first, last,
                    [&](const auto& entry) { return SameRow(file, entry.second, row, values); })) {
      ++file.duplicates;
      continue;
    }
    seen.emplace(hash, file.rows.size());
    file.rows.push_back(row);
    file.polygons += values.empty() ? 0 : 1;
    file.polygon_xy.insert(file.polygon_xy.end(), values.begin(), values.end());
    file.polygon_ends.push_back(static_cast<uint32_t>(file.polygon_xy.size() / 2));
  }
  return file;
}

}  // namespace yoke::formats
