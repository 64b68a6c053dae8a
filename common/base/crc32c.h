// CRC-32C (Castagnoli), as iSCSI, ext4 and gRPC's friends define it: detects every error burst of
// up to 32 bits.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace yoke {

namespace internal {
constexpr std::array<uint32_t, 256> MakeCrc32cTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit)
      value = (value & 1) != 0 ? (value >> 1) ^ 0x82F63B78u : value >> 1;
    table[i] = value;
  }
  return table;
}
inline constexpr std::array<uint32_t, 256> kCrc32cTable = MakeCrc32cTable();
}  // namespace internal

// Of `bytes`; with `before`, of what that was computed of followed by `bytes`.
inline uint32_t Crc32c(std::string_view bytes, uint32_t before = 0) {
  uint32_t crc = ~before;
  for (const char byte : bytes)
    crc = internal::kCrc32cTable[(crc ^ static_cast<unsigned char>(byte)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

}  // namespace yoke
