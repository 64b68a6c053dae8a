// Columns aligned by spaces.
#pragma once

#include <string>
#include <vector>

namespace yoke::cli {

class Table {
 public:
  explicit Table(std::vector<std::string> headers) : headers_(std::move(headers)) {}
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // Every line ends with a newline; lines are cut to `width` columns.
  std::string Format(int width) const;

 private:
  std::vector<std::string> headers_;
  std::vector<std::vector<std::string>> rows_;
};

// Columns that a UTF-8 text takes, counting each code point as one.
size_t DisplayWidth(const std::string& text);
// Cut to `width` columns; what was cut is shown by a last "~".
std::string Cut(const std::string& text, size_t width);

}  // namespace yoke::cli
