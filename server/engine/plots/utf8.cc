#include "server/engine/plots/utf8.h"

#include "common/base/utf8.h"

namespace yoke::engine {

char32_t TakeSign(std::string_view& text) {
  const std::string_view character = TakeUtf8(text);
  if (character.empty()) return kReplacementSign;
  const auto first = static_cast<unsigned char>(character[0]);
  char32_t sign = character.size() == 1 ? first : first & (0x7Fu >> character.size());
  for (const char next : character.substr(1))
    sign = sign << 6 | (static_cast<unsigned char>(next) & 0x3F);
  return sign;
}

std::string ValidUtf8(std::string_view text) {
  std::string valid;
  while (!text.empty()) {
    const std::string_view character = TakeUtf8(text);
    valid += character.empty() ? "\xEF\xBF\xBD" : character;
  }
  return valid;
}

}  // namespace yoke::engine
