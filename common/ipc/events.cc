#include "common/ipc/events.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/ipc/json_reader.h"
#include "common/os/clock.h"
#include "common/os/file.h"

namespace yoke::ipc {
namespace {

using nlohmann::json;

// Longer than any event; a whole line is looked for in this much of the file's end.
constexpr size_t kTailBytes = size_t{4} << 20;

// Where the file's whole lines end, and the sequence number of the last one.
struct Tail {
  off_t end = 0;
  int64_t seq = 0;
};

absl::StatusOr<Tail> FindTail(const std::string& path, off_t size) {
  YOKE_ASSIGN_OR_RETURN(std::string text, os::ReadTail(path, kTailBytes));
  const off_t text_start = size - static_cast<off_t>(text.size());
  Tail tail;
  const size_t newline = text.rfind('\n');
  if (newline == std::string::npos) {
    if (text_start == 0) return tail;
    return absl::DataLossError(absl::StrCat(path, ": no whole line in the last ", text.size(),
                                            " bytes"));
  }
  tail.end = text_start + static_cast<off_t>(newline) + 1;
  std::string_view lines(text.data(), newline);
  while (!lines.empty() && tail.seq == 0) {
    const size_t start = lines.rfind('\n');
    const std::string_view line = start == std::string_view::npos ? lines : lines.substr(start + 1);
    if (absl::StatusOr<ParsedEvent> event = ParseEvent(line); event.ok()) tail.seq = event->seq;
    lines = start == std::string_view::npos ? std::string_view() : lines.substr(0, start);
  }
  return tail;
}

class FileEventWriter : public EventWriter {
 public:
  FileEventWriter(std::string path, os::UniqueFd fd, int rank, Tail tail)
      : path_(std::move(path)), fd_(std::move(fd)), rank_(rank), end_(tail.end), seq_(tail.seq) {}

  absl::Status Append(std::string_view type, json fields) override {
    if (fields.is_null()) fields = json::object();
    if (!fields.is_object()) return absl::InvalidArgumentError("event fields must be an object");
    MutexLock lock(mutex_);
    fields["seq"] = seq_ + 1;
    fields["time"] = os::Rfc3339(os::EpochSeconds());
    fields["rank"] = rank_;
    fields["type"] = std::string(type);
    std::string line = fields.dump(-1, ' ', false, json::error_handler_t::replace);
    line += '\n';
    ssize_t put;
    do {
      put = write(fd_.get(), line.data(), line.size());
    } while (put < 0 && errno == EINTR);
    if (put != static_cast<ssize_t>(line.size())) {
      const int error = put < 0 ? errno : ENOSPC;
      // The torn line, if any, goes; the next event takes this number.
      if (put > 0 && ftruncate(fd_.get(), end_) != 0) {
        return os::ErrnoStatus(errno, absl::StrCat("cannot cut the torn end of ", path_));
      }
      return os::ErrnoStatus(error, absl::StrCat("cannot write ", path_));
    }
    end_ += put;
    ++seq_;
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    if (fdatasync(fd_.get()) != 0) {
      return os::ErrnoStatus(errno, absl::StrCat("cannot sync ", path_));
    }
    return absl::OkStatus();
  }

 private:
  const std::string path_;
  const os::UniqueFd fd_;
  const int rank_;
  Mutex mutex_;
  off_t end_ YOKE_GUARDED_BY(mutex_);    // end of the last whole line
  int64_t seq_ YOKE_GUARDED_BY(mutex_);  // of the last whole line
};

}  // namespace

absl::StatusOr<std::unique_ptr<EventWriter>> EventWriter::Open(const std::string& path, int rank) {
  YOKE_ASSIGN_OR_RETURN(os::UniqueFd fd, os::Open(path, O_WRONLY | O_CREAT | O_APPEND));
  struct stat info;
  if (fstat(fd.get(), &info) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat("cannot look at ", path));
  }
  Tail tail;
  if (info.st_size > 0) {
    YOKE_ASSIGN_OR_RETURN(tail, FindTail(path, info.st_size));
    if (tail.end < info.st_size && ftruncate(fd.get(), tail.end) != 0) {
      return os::ErrnoStatus(errno, absl::StrCat("cannot cut the torn end of ", path));
    }
  }
  return std::make_unique<FileEventWriter>(path, std::move(fd), rank, tail);
}

absl::StatusOr<ParsedEvent> ParseEvent(std::string_view line) {
  json parsed = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) return absl::InvalidArgumentError("event: not valid JSON");
  ParsedEvent event;
  JsonReader reader(parsed, "event");
  reader.Read("seq", event.seq);
  reader.Read("time", event.time);
  reader.Read("rank", event.rank);
  reader.Read("type", event.type);
  if (!reader.status().ok()) return reader.status();
  if (event.seq < 1) return absl::InvalidArgumentError("event: 'seq' must be positive");
  for (const char* name : {"seq", "time", "rank", "type"}) parsed.erase(name);
  event.fields = std::move(parsed);
  return event;
}

}  // namespace yoke::ipc
