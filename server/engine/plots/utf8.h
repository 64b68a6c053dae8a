// Text that came from files and may be anything: class names, file names.
#pragma once

#include <string>
#include <string_view>

namespace yoke::engine {

// Stands for what is no UTF-8, a sign each time.
inline constexpr char32_t kReplacementSign = 0xFFFD;

// Takes the first sign off `text`, which is not empty. A byte that begins no valid sequence is a
// kReplacementSign of its own; so are surrogates, overlong forms and what lies over U+10FFFF.
char32_t TakeSign(std::string_view& text);

// The text itself where it is UTF-8, else with replacement signs in it.
std::string ValidUtf8(std::string_view text);

}  // namespace yoke::engine
