// Values as they lie in memory, appended to a string and taken from it again: what ranks exchange.
// All of them run the same program.
#pragma once

#include <cstring>
#include <string>
#include <type_traits>

namespace yoke::engine {

template <typename T>
void PutBytes(std::string& bytes, const T* values, size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  bytes.append(reinterpret_cast<const char*>(values), count * sizeof(T));
}

// Moves `at` behind what was taken. False, and nothing taken: there is less.
template <typename T>
bool TakeBytes(const std::string& bytes, size_t& at, T* values, size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (count > (bytes.size() - at) / sizeof(T)) return false;
  if (count > 0) std::memcpy(values, bytes.data() + at, count * sizeof(T));
  at += count * sizeof(T);
  return true;
}

}  // namespace yoke::engine
