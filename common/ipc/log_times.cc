#include "common/ipc/log_times.h"

#include <charconv>
#include <cstdio>

namespace yoke::ipc {
namespace {

constexpr size_t kLineBytes = 32;

struct Note {
  int64_t bytes = 0, epoch_ms = 0;
};

Note NoteAt(std::string_view times, size_t index) {
  const std::string_view line = times.substr(index * kLineBytes, kLineBytes);
  Note note;
  const char* const begin = line.data();
  std::from_chars(begin + line.find_first_not_of(' '), begin + 15, note.bytes);
  std::from_chars(begin + 16, begin + line.size(), note.epoch_ms);
  return note;
}

// The first note that is not earlier than `epoch_ms`.
size_t FirstSince(std::string_view times, int64_t epoch_ms) {
  size_t low = 0, high = times.size() / kLineBytes;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (NoteAt(times, middle).epoch_ms < epoch_ms) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace

std::string LogTimesLine(int64_t bytes, int64_t epoch_ms) {
  char line[kLineBytes + 1];
  std::snprintf(line, sizeof line, "%15lld %015lld\n", static_cast<long long>(bytes),
                static_cast<long long>(epoch_ms));
  return line;
}

int64_t LengthAt(std::string_view times, int64_t epoch_ms) {
  const size_t next = FirstSince(times, epoch_ms + 1);
  return next == 0 ? 0 : NoteAt(times, next - 1).bytes;
}

int64_t LengthAfter(std::string_view times, int64_t epoch_ms) {
  const size_t found = FirstSince(times, epoch_ms);
  return found < times.size() / kLineBytes ? NoteAt(times, found).bytes : -1;
}

}  // namespace yoke::ipc
