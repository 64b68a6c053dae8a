// UTF-8 (RFC 3629) in bytes that may be anything: file names, what people type, what programs print.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace yoke {

// Length of the character that `text`, which is not empty, begins with: 1 to 4 bytes. 0: it begins with none; so do
// forms that are longer than need be, surrogates and what lies beyond U+10FFFF.
inline size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const size_t length = first < 0x80                     ? 1
                        : first >= 0xc2 && first <= 0xdf ? 2
                        : first >= 0xe0 && first <= 0xef ? 3
                        : first >= 0xf0 && first <= 0xf4 ? 4
                                                         : 0;
  if (length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool is_none = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
                       (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f);
  return is_none ? 0 : length;
}

// Takes off what `text`, which is not empty, begins with: a character, or a byte that begins none, of which it returns
// nothing.
inline std::string_view TakeUtf8(std::string_view& text) {
  const std::string_view character = text.substr(0, Utf8Length(text));
  text.remove_prefix(std::max<size_t>(1, character.size()));
  return character;
}

inline bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    if (TakeUtf8(text).empty()) return false;
  }
  return true;
}

}  // namespace yoke
