#include "server/engine/train/tensorboard_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/engine/train/epoch_columns.h"

namespace yoke::engine {
namespace {

// Protocol buffer wire types.
constexpr int kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;

std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0);
    table[i] = crc;
  }
  return table;
}

template <typename T>
void AppendRaw(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void AppendVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}
void AppendTag(std::string& out, int field, int type) {
  AppendVarint(out, static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(type));
}
void AppendBytes(std::string& out, int field, std::string_view bytes) {
  AppendTag(out, field, kBytes);
  AppendVarint(out, bytes.size());
  out += bytes;
}

// tensorflow.Event: wall_time = 1, step = 2, file_version = 3, summary = 5.
std::string EventHeader(int64_t step) {
  std::string event;
  AppendTag(event, 1, kFixed64);
  AppendRaw(event, absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()));
  AppendTag(event, 2, kVarint);
  AppendVarint(event, static_cast<uint64_t>(step));
  return event;
}

// Summary.value = 1 of Value {tag = 1, simple_value = 2}.
std::string ScalarValue(const std::string& tag, double number) {
  std::string value;
  AppendBytes(value, 1, tag);
  AppendTag(value, 2, kFixed32);
  AppendRaw(value, static_cast<float>(number));
  return value;
}

uint32_t Masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u; }

void AppendFrame(std::string& out, const std::string& event) {
  std::string length;
  AppendRaw(length, static_cast<uint64_t>(event.size()));
  out += length;
  AppendRaw(out, Masked(Crc32c(length)));
  out += event;
  AppendRaw(out, Masked(Crc32c(event)));
}

// One write: a frame is whole, or cut off again.
absl::Status AppendTo(const std::string& path, const std::string& bytes) {
  const auto failed = [&](int error) {
    const std::string what = absl::StrCat("cannot write ", path, ": ", std::strerror(error));
    return error == ENOSPC || error == EDQUOT ? absl::ResourceExhaustedError(what)
                                              : absl::InternalError(what);
  };
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return failed(errno);
  const off_t end = ::lseek(fd, 0, SEEK_END);
  const ssize_t written = ::write(fd, bytes.data(), bytes.size());
  const int error = written < 0 ? errno : ENOSPC;
  const bool whole = written == static_cast<ssize_t>(bytes.size());
  if (!whole && ::ftruncate(fd, end) != 0) {
    ::close(fd);
    return failed(errno);
  }
  ::close(fd);
  return whole ? absl::OkStatus() : failed(error);
}

std::string NewPath(const std::string& run_dir) {
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  return absl::StrCat(run_dir, "/events.out.tfevents.", absl::ToUnixSeconds(absl::Now()), ".", host,
                      ".", ::getpid(), ".0");
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = MakeCrcTable();
  uint32_t crc = ~0u;
  for (const char byte : bytes) crc = table[(crc ^ static_cast<uint8_t>(byte)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

absl::Status TensorBoardFile::Append(const EpochReport& report) {
  std::string bytes;
  if (path_.empty()) {
    path_ = NewPath(run_dir_);
    std::string version = EventHeader(0);
    AppendBytes(version, 3, "brain.Event:2");
    AppendFrame(bytes, version);
  }
  std::string summary;
  for (const auto& [tag, value] : EpochColumns(report)) {
    AppendBytes(summary, 1, ScalarValue(tag, value));
  }
  std::string event = EventHeader(report.epoch);
  AppendBytes(event, 5, summary);
  AppendFrame(bytes, event);
  return AppendTo(path_, bytes);
}

}  // namespace yoke::engine
