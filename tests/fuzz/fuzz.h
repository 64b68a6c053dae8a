// What the targets share. A target is LLVMFuzzerTestOneInput: any bytes, no crash, and the promises
// of the header it tests hold, whatever the outcome.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/base/check.h"
#include "common/formats/printable.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace yoke::fuzz {

inline std::string Text(const uint8_t* data, size_t size) {
  return std::string(reinterpret_cast<const char*>(data), size);
}

// Reads every byte, so that a sanitizer sees any that is not there.
inline void Touch(absl::Span<const uint8_t> bytes) {
  volatile uint8_t sink = 0;
  for (const uint8_t byte : bytes) sink = sink ^ byte;
}

// A refusal says something, fit for a line of a log.
inline void CheckRefusal(const absl::Status& status) {
  const std::string message(status.message());
  YOKE_CHECK(!status.ok() && !message.empty());
  YOKE_CHECK_MSG(formats::Printable(message, message.size()) == message, message);
}

}  // namespace yoke::fuzz
