#include "common/formats/printable.h"

#include "common/base/utf8.h"

namespace yoke::formats {
std::string Printable(std::string_view text, size_t bytes_max) {
  std::string out;
  while (!text.empty()) {
    const std::string_view character = TakeUtf8(text);
    const bool is_control = character.size() == 1 && (character[0] < 32 || character[0] == 127);
    const std::string_view shown = character.empty() ? "?" : is_control ? " " : character;
    if (out.size() + shown.size() > bytes_max) break;
    out += shown;
  }
  return out;
}

}  // namespace yoke::formats
