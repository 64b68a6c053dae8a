#include "server/engine/plots/tensorboard/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace yoke::engine {
namespace {

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

uint32_t Masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u; }

void AppendFrame(std::string& out, const WireMessage& event) {
  std::string length;
  AppendRaw(length, static_cast<uint64_t>(event.bytes().size()));
  out += length;
  AppendRaw(out, Masked(Crc32c(length)));
  out += event.bytes();
  AppendRaw(out, Masked(Crc32c(event.bytes())));
}

// tensorflow.Event: wall_time = 1, step = 2, file_version = 3, summary = 5.
WireMessage EventAt(int64_t step) {
  WireMessage event;
  event.Double(1, absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch())).Int(2, step);
  return event;
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

absl::Status EventFile::Append(int64_t step, const WireMessage& summary) {
  std::string bytes;
  const std::string path = path_.empty() ? NewPath(run_dir_) : path_;
  if (path_.empty()) AppendFrame(bytes, EventAt(0).Bytes(3, "brain.Event:2"));
  AppendFrame(bytes, EventAt(step).Message(5, summary));
  absl::Status status = AppendTo(path, bytes);
  if (status.ok()) path_ = path;
  return status;
}

}  // namespace yoke::engine
