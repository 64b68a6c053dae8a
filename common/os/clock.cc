#include "common/os/clock.h"

#include <time.h>

#include <cmath>
#include <cstdio>

namespace yoke::os {

double EpochSeconds() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

int64_t BootMilliseconds() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

std::string Rfc3339(double epoch_seconds) {
  const int64_t milliseconds = static_cast<int64_t>(std::floor(epoch_seconds * 1000));
  const int64_t fraction = ((milliseconds % 1000) + 1000) % 1000;
  const time_t seconds = static_cast<time_t>((milliseconds - fraction) / 1000);
  tm parts;
  gmtime_r(&seconds, &parts);
  char day[32];
  strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &parts);
  char text[40];
  std::snprintf(text, sizeof(text), "%s.%03dZ", day, static_cast<int>(fraction));
  return text;
}

}  // namespace yoke::os
