#include "client/cli/output/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace yoke::cli {
namespace {

constexpr int kUnlimited = 1 << 20;

bool WantsColors(bool terminal, ColorMode mode) {
  if (mode != ColorMode::kAuto) return mode == ColorMode::kAlways;
  const char* none = std::getenv("NO_COLOR");
  const char* kind = std::getenv("TERM");
  return terminal && (none == nullptr || *none == '\0') && kind != nullptr && std::string_view(kind) != "dumb";
}

}  // namespace

Terminal::Terminal(int fd, ColorMode mode) : is_terminal_(isatty(fd) == 1), colors_(WantsColors(is_terminal_, mode)), width_(kUnlimited) {
  winsize size{};
  if (is_terminal_) width_ = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string Terminal::Paint(const char* code, const std::string& text) const {
  return colors_ ? std::string("\x1b[") + code + "m" + text + "\x1b[0m" : text;
}

}  // namespace yoke::cli
