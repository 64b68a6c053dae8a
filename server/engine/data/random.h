// Random draws that depend on (seed, epoch, position) only: not on threads, timing, or how many ranks share
// the work.
#pragma once

#include <cmath>
#include <cstdint>

namespace yoke::engine {

// SplitMix64 started at a mixture of the coordinates.
class Random {
 public:
  Random(uint64_t seed, uint64_t epoch, uint64_t position)
      : state_(Mix(Mix(Mix(seed) ^ (epoch + 0x632be59bd9b4e019ull)) ^ (position + 0x9e6c63d0676a9a99ull))) {}

  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15ull;
    return Mix(state_);
  }
  // [0, 1)
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  double Uniform(double low, double high) { return low + (high - low) * Uniform(); }
  // [0, count); REQUIRES: count > 0
  int64_t Below(int64_t count) {
    return static_cast<int64_t>(static_cast<unsigned __int128>(Next()) * static_cast<uint64_t>(count) >> 64);
  }
  bool Chance(double probability) { return Uniform() < probability; }
  // Beta(shape, shape) for a whole `shape`: two gamma draws, each a sum of exponentials.
  double Beta(int shape) {
    const double a = Gamma(shape), b = Gamma(shape);
    return a / (a + b);
  }

 private:
  static uint64_t Mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
  }
  double Gamma(int shape) {
    double sum = 0;
    for (int i = 0; i < shape; ++i) sum -= std::log1p(-Uniform());
    return sum;
  }

  uint64_t state_;
};

}  // namespace yoke::engine
