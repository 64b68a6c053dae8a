#include "server/engine/plots/utf8.h"

namespace yoke::engine {

char32_t TakeSign(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text.front());
  const auto take = [&](size_t bytes, char32_t sign) {
    text.remove_prefix(bytes);
    return sign;
  };
  if (first < 0x80) return take(1, first);
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return take(1, kReplacementSign);
  char32_t sign = first & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xC0) != 0x80) return take(1, kReplacementSign);
    sign = sign << 6 | (next & 0x3F);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = sign >= 0xD800 && sign <= 0xDFFF;
  if (sign < kLeast[length] || sign > 0x10FFFF || surrogate) return take(1, kReplacementSign);
  return take(length, sign);
}

std::string ValidUtf8(std::string_view text) {
  std::string valid;
  while (!text.empty()) {
    const std::string_view before = text;
    if (TakeSign(text) == kReplacementSign) {
      valid += "\xEF\xBF\xBD";
    } else {
      valid += before.substr(0, before.size() - text.size());
    }
  }
  return valid;
}

}  // namespace yoke::engine
