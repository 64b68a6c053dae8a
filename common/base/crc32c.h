// CRC-32C (Castagnoli), as iSCSI, ext4 and gRPC's friends define it: detects every error burst of
// up to 32 bits.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
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

// Both take and give the register, which is the inverted CRC.
inline uint32_t Crc32cByTable(std::string_view bytes, uint32_t crc) {
  for (const char byte : bytes)
    crc = kCrc32cTable[(crc ^ static_cast<unsigned char>(byte)) & 0xff] ^ (crc >> 8);
  return crc;
}
#ifdef __x86_64__
// By the processor's own instruction, eight bytes at a time.
__attribute__((target("sse4.2"))) inline uint32_t Crc32cByInstruction(std::string_view bytes,
                                                                      uint32_t crc) {
  uint64_t wide = crc;
  for (; bytes.size() >= sizeof(uint64_t); bytes.remove_prefix(sizeof(uint64_t))) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    wide = __builtin_ia32_crc32di(wide, word);
  }
  return Crc32cByTable(bytes, static_cast<uint32_t>(wide));
}
#endif
}  // namespace internal

// Of `bytes`; with `before`, of what that was computed of followed by `bytes`.
inline uint32_t Crc32c(std::string_view bytes, uint32_t before = 0) {
#ifdef __x86_64__
  static const bool instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (instruction) return ~internal::Crc32cByInstruction(bytes, ~before);
#endif
  return ~internal::Crc32cByTable(bytes, ~before);
}

}  // namespace yoke
