// The data set that drawn_set.py draws, byte for byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace yoke::engine {

inline constexpr int kDrawnClasses = 4;

struct DrawnPicture {
  std::string bmp;                    // the file
  std::vector<std::string> boxes;     // label lines
  std::vector<std::string> outlines;  // the same objects as polygons
};

// `count` draws below 256 of the generator started with `seed`.
std::vector<uint8_t> DrawnBytes(uint32_t seed, size_t count);

DrawnPicture DrawPicture(int index);

// Writes images/NNN.bmp and labels/NNN.txt under `folder`.
void WriteDrawnSet(const std::string& folder, int count, bool outlined);

}  // namespace yoke::engine
