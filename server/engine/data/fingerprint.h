// A 128-bit fingerprint of bytes, stable across programs and versions: cache keys, checksums, equal files.
// Not against an adversary.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace yoke::engine {

class Fingerprint {
 public:
  void Add(std::string_view bytes) {
    Mix(bytes.size());
    for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
      uint64_t word;
      std::memcpy(&word, bytes.data(), 8);
      Mix(word);
    }
    uint64_t rest = 0;
    std::memcpy(&rest, bytes.data(), bytes.size());
    Mix(rest);
  }
  void Add(int64_t value) { Mix(static_cast<uint64_t>(value)); }

  uint64_t low() const { return Avalanche(a_); }
  // 32 hexadecimal digits.
  std::string Hex() const {
    std::string out;
    for (uint64_t word : {Avalanche(b_), Avalanche(a_)}) {
      for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[word >> shift & 15];
    }
    return out;
  }

 private:
  static uint64_t Avalanche(uint64_t x) {
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdull;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53ull;
    return x ^ x >> 33;
  }
  void Mix(uint64_t word) {
    a_ = (a_ ^ word) * 0x9e3779b97f4a7c15ull;
    a_ ^= a_ >> 29;
    b_ = (b_ + (word ^ word >> 31)) * 0xd6e8feb86659fd93ull;
    b_ ^= b_ >> 32;
  }

  uint64_t a_ = 0x243f6a8885a308d3ull, b_ = 0x13198a2e03707344ull;
};

}  // namespace yoke::engine
