// Memory for the maps of one image on its way through a network, of values of one type. Maps give
// theirs back when they go out of scope, for the next ones.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "server/engine/kernels/convolution.h"

namespace yoke::engine {

template <typename T>
class Workspace {
 public:
  class Owned;

  // A map with zeros around it; its pixels hold what an earlier map did, or zeros.
  Owned Make(int64_t height, int64_t width, int64_t channels);

  std::vector<float> scratch;  // for convolutions

 private:
  std::vector<std::vector<T>> free_;
};

template <typename T>
class Workspace<T>::Owned : public kernels::MapOf<T> {
 public:
  Owned(Workspace& home, std::vector<T> memory, const kernels::MapOf<T>& map)
      : kernels::MapOf<T>(map), home_(home), memory_(std::move(memory)) {}
  Owned(Owned&& other) noexcept = default;
  ~Owned() {
    if (!memory_.empty()) home_.free_.push_back(std::move(memory_));
  }

 private:
  Workspace& home_;
  std::vector<T> memory_;
};

template <typename T>
typename Workspace<T>::Owned Workspace<T>::Make(int64_t height, int64_t width, int64_t channels) {
  constexpr int64_t kAlign = 64 / sizeof(T), kAround = 1 + kernels::kBorderBehind;
  const int64_t row = (width + kAround) * channels;
  const auto size = static_cast<size_t>((height + kAround) * row + kAlign);
  // The smallest that is large enough.
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->size() >= size && (best == free_.end() || it->size() < best->size())) best = it;
  }
  std::vector<T> memory;
  if (best != free_.end()) {
    memory = std::move(*best);
    free_.erase(best);
  } else {
    memory.resize(size);
  }
  const size_t misplaced = reinterpret_cast<uintptr_t>(memory.data()) / sizeof(T) % kAlign;
  T* const begin = memory.data() + (kAlign - misplaced) % kAlign;
  // Above the first row with its left border; then from the end of each row to the begin of the
  // next.
  std::fill(begin, begin + row + channels, T{});
  for (int64_t i = 1; i <= height; ++i) {
    T* const end_of_row = begin + i * row + (1 + width) * channels;
    std::fill(end_of_row, end_of_row + kAround * channels, T{});
  }
  T* const below = begin + (height + 1) * row;
  std::fill(below, begin + (height + kAround) * row, T{});
  return Owned(*this, std::move(memory),
               {begin + row + channels, height, width, channels, channels, row});
}

}  // namespace yoke::engine
