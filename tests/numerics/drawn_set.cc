#include "tests/numerics/drawn_set.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace yoke::engine {
namespace {

class Draws {
 public:
  explicit Draws(uint32_t seed) : state_(seed * 1000003u) {}
  int Below(int limit) {
    uint32_t x = state_++;
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    x ^= x >> 16;
    return static_cast<int>(static_cast<uint64_t>(x >> 8) * static_cast<uint64_t>(limit) >> 24);
  }

 private:
  uint32_t state_;
};

std::string Millionths(int numerator, int denominator) {
  if (numerator >= denominator) return "1.000000";
  char text[16];
  std::snprintf(text, sizeof text, "0.%06d",
                static_cast<int>(int64_t{1000000} * numerator / denominator));
  return text;
}

void AppendNumber(int value, std::string& out) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(value >> shift);
}

// 24 bits a px; `pixels` in the order B, G, R, the top row first.
std::string BmpOf(const std::string& pixels, int width, int height) {
  const size_t row = static_cast<size_t>(3 * width), padding = (4 - row % 4) % 4;
  std::string data;
  for (int y = height - 1; y >= 0; --y) {
    data += pixels.substr(static_cast<size_t>(y) * row, row) + std::string(padding, '\0');
  }
  std::string out = "BM";
  AppendNumber(static_cast<int>(54 + data.size()), out);
  out += std::string(4, '\0');
  for (int value : {54, 40, width, height}) AppendNumber(value, out);
  out += std::string("\1\0\x18\0\0\0\0\0", 8);
  AppendNumber(static_cast<int>(data.size()), out);
  return out + std::string(16, '\0') + data;
}

}  // namespace

std::vector<uint8_t> DrawnBytes(uint32_t seed, size_t count) {
  Draws draws(seed);
  std::vector<uint8_t> bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(draws.Below(256));
  return bytes;
}

DrawnPicture DrawPicture(int index) {
  constexpr std::array<std::array<int, 2>, 9> kOutline{
      {{2, 0}, {4, 3}, {6, 0}, {8, 2}, {8, 6}, {6, 8}, {2, 8}, {0, 6}, {0, 2}}};
  Draws draws(1000u + static_cast<uint32_t>(index));
  const int w = 64 + draws.Below(129), h = 64 + draws.Below(129);
  const int b0 = 10 + draws.Below(40), g0 = 90 + draws.Below(30), r0 = 180 + draws.Below(40);
  std::string pixels;
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      pixels += static_cast<char>(b0 + x * 40 / w);
      pixels += static_cast<char>(g0 + y * 40 / h);
      pixels += static_cast<char>(r0 + (x + y) * 20 / (w + h));
    }
  }
  DrawnPicture picture;
  for (int count = draws.Below(7); count > 0; --count) {
    const int kind = draws.Below(kDrawnClasses), bw = 6 + draws.Below(w / 2),
              bh = 6 + draws.Below(h / 2);
    const int x0 = draws.Below(w - bw), y0 = draws.Below(h - bh);
    const int b = 150 + draws.Below(100), g = 20 + draws.Below(40), r = 70 + draws.Below(40);
    for (int y = y0; y < y0 + bh; ++y) {
      for (int x = x0; x < x0 + bw; ++x) {
        char* px = &pixels[static_cast<size_t>(3 * (y * w + x))];
        px[0] = static_cast<char>(b), px[1] = static_cast<char>(g), px[2] = static_cast<char>(r);
      }
    }
    const std::string start = std::to_string(kind);
    picture.boxes.push_back(start + " " + Millionths(2 * x0 + bw, 2 * w) + " " +
                            Millionths(2 * y0 + bh, 2 * h) + " " + Millionths(bw, w) + " " +
                            Millionths(bh, h));
    picture.outlines.push_back(start);
    for (const auto& [x, y] : kOutline) {
      picture.outlines.back() +=
          " " + Millionths(8 * x0 + bw * x, 8 * w) + " " + Millionths(8 * y0 + bh * y, 8 * h);
    }
  }
  picture.bmp = BmpOf(pixels, w, h);
  return picture;
}

void WriteDrawnSet(const std::string& folder, int count, bool outlined) {
  std::filesystem::create_directories(folder + "/images");
  std::filesystem::create_directories(folder + "/labels");
  for (int index = 0; index < count; ++index) {
    const DrawnPicture picture = DrawPicture(index);
    char name[16];
    std::snprintf(name, sizeof name, "%03d", index);
    std::ofstream(folder + "/images/" + name + ".bmp", std::ios::binary) << picture.bmp;
    std::ofstream label(folder + "/labels/" + name + ".txt");
    for (const std::string& line : outlined ? picture.outlines : picture.boxes)
      label << line << "\n";
  }
}

}  // namespace yoke::engine
