// Decoding of JPEGs by a device.
#pragma once

#include <cstddef>
#include <cstdint>

namespace yoke::engine {

class JpegDecoder {
 public:
  virtual ~JpegDecoder() = default;
  // Fills `bgr`, height x width x 3 bytes, with the pixels as stored. False, and anything in `bgr`,
  // for what it does not take: another size, CMYK, no memory. Damage within a file may go unseen.
  // Thread-safe.
  virtual bool Decode(const uint8_t* bytes, size_t count, int width, int height, uint8_t* bgr) = 0;
};

}  // namespace yoke::engine
