// results.csv as numbers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace yoke::engine {

struct ResultsTable {
  std::vector<std::string> columns;         // "epoch", "time", "train/box_loss" ...
  std::vector<std::vector<double>> values;  // one list a column, a value an epoch

  // Of a column; empty if there is none of that name.
  const std::vector<double>& Column(std::string_view name) const;
};

// Of either version of the reference too, whose cells may be padded. A cell that is no number is
// NaN, a missing one as well. NotFound: no such file. InvalidArgument: no header, or over 64 MiB.
absl::StatusOr<ResultsTable> ReadResults(const std::string& path);

}  // namespace yoke::engine
