// The one set-up of spdlog. Programs call it first thing in main; everything else logs through
// spdlog's own functions. Lines go to stderr: "2024-05-01 10:20:30.123 info message".
#pragma once

#include <string>

#include "absl/status/status.h"

namespace yoke::log {

// `level`: trace, debug, info, warning, error or off. InvalidArgument names the levels there are.
absl::Status SetUp(const std::string& level);

}  // namespace yoke::log
