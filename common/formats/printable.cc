#include "common/formats/printable.h"

#include <algorithm>

namespace yoke::formats {
namespace {

// Length of the UTF-8 character that `text` begins with (RFC 3629); 0 if it begins with none.
size_t CharacterBytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const size_t size = first < 0x80                     ? 1
                      : first >= 0xc2 && first <= 0xdf ? 2
                      : first >= 0xe0 && first <= 0xef ? 3
                      : first >= 0xf0 && first <= 0xf4 ? 4
                                                       : 0;
  if (size > text.size()) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Longer than needed, a surrogate, or beyond the last character there is.
  const bool is_none = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
                       (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f);
  return is_none ? 0 : size;
}

}  // namespace

std::string Printable(std::string_view text, size_t bytes_max) {
  std::string out;
  while (!text.empty()) {
    const size_t size = CharacterBytes(text);
    if (out.size() + std::max<size_t>(size, 1) > bytes_max) break;
    const auto first = static_cast<unsigned char>(text[0]);
    if (size == 0) {
      out += '?';
    } else if (first < 32 || first == 127) {
      out += ' ';
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  return out;
}

}  // namespace yoke::formats
