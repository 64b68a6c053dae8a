// How the names of classes are compared, wherever two lists of them meet.
#pragma once

#include <string>

#include "absl/strings/ascii.h"

namespace yoke {

// A name as it is compared: lower case (ASCII), without spaces at its ends.
inline std::string ComparedName(const std::string& name) {
  return absl::AsciiStrToLower(absl::StripAsciiWhitespace(name));
}

}  // namespace yoke
