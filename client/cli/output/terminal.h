// What the terminal can do, and the few marks that need it: colours and the width of a line.
#pragma once

#include <string>

namespace yoke::cli {

enum class ColorMode { kAuto, kAlways, kNever };

class Terminal {
 public:
  // `fd` 1 or 2. kAuto: colours if it is a terminal, NO_COLOR is unset and TERM is not dumb.
  Terminal(int fd, ColorMode mode);
  Terminal(bool is_terminal, bool colors, int width) : is_terminal_(is_terminal), colors_(colors), width_(width) {}

  bool is_terminal() const { return is_terminal_; }
  bool colors() const { return colors_; }
  // Columns; a large number where it is no terminal.
  int width() const { return width_; }

  std::string Bold(const std::string& text) const { return Paint("1", text); }
  std::string Red(const std::string& text) const { return Paint("31", text); }
  std::string Green(const std::string& text) const { return Paint("32", text); }
  std::string Yellow(const std::string& text) const { return Paint("33", text); }

 private:
  std::string Paint(const char* code, const std::string& text) const;

  bool is_terminal_;
  bool colors_;
  int width_;
};

}  // namespace yoke::cli
