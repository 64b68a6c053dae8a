#include "server/engine/plots/results_table.h"

#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "server/engine/data/file_bytes.h"

namespace yoke::engine {
namespace {

constexpr size_t kBytesMax = 64u << 20;

}  // namespace

const std::vector<double>& ResultsTable::Column(std::string_view name) const {
  static const std::vector<double>* const kNone = new std::vector<double>;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i] == name) return values[i];
  }
  return *kNone;
}

absl::StatusOr<ResultsTable> ReadResults(const std::string& path) {
  YOKE_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kBytesMax));
  ResultsTable table;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    const std::vector<absl::string_view> cells = absl::StrSplit(line, ',');
    if (table.columns.empty()) {
      for (const absl::string_view cell : cells)
        table.columns.emplace_back(absl::StripAsciiWhitespace(cell));
      table.values.resize(table.columns.size());
      continue;
    }
    for (size_t i = 0; i < table.columns.size(); ++i) {
      double value = 0;
      const bool number =
          i < cells.size() && absl::SimpleAtod(absl::StripAsciiWhitespace(cells[i]), &value);
      table.values[i].push_back(number ? value : std::numeric_limits<double>::quiet_NaN());
    }
  }
  if (table.columns.empty()) return absl::InvalidArgumentError(absl::StrCat(path, ": no header"));
  return table;
}

}  // namespace yoke::engine
