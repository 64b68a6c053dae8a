#include "client/cli/output/table.h"

#include <algorithm>

namespace yoke::cli {
namespace {

bool StartsCodePoint(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

}  // namespace

size_t DisplayWidth(const std::string& text) { return static_cast<size_t>(std::count_if(text.begin(), text.end(), StartsCodePoint)); }

std::string Cut(const std::string& text, size_t width) {
  if (DisplayWidth(text) <= width || width == 0) return text;
  size_t columns = 0, end = 0;
  for (; end < text.size(); ++end) {
    if (StartsCodePoint(text[end]) && ++columns == width) break;
  }
  return text.substr(0, end) + "~";
}

std::string Table::Format(int width) const {
  std::vector<size_t> widths;
  for (const std::string& header : headers_) widths.push_back(DisplayWidth(header));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(row[i]));
  }
  std::string text;
  auto add = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - DisplayWidth(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += Cut(line, static_cast<size_t>(width)) + "\n";
  };
  add(headers_);
  for (const auto& row : rows_) add(row);
  return text;
}

}  // namespace yoke::cli
