// A folder in which nobody may make anything, not even root.
#pragma once

#include <sys/vfs.h>

#include <string>

namespace yoke {

// In sysfs, which takes no new entries; empty where it is not mounted.
inline std::string UnwritableFolder() {
  constexpr auto kSysfsMagic = 0x62656572;
  struct statfs info {};
  return statfs("/sys/kernel", &info) == 0 && info.f_type == kSysfsMagic ? "/sys/kernel" : "";
}

}  // namespace yoke
