#include "server/launcher/event_follower.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "common/os/file.h"

namespace yoke::launcher {
namespace {

using nlohmann::json;

constexpr size_t kReadBytes = 256 << 10;
constexpr size_t kLineMax = 8 << 20;
constexpr size_t kWarningsMax = 100;
// Fields of steps and epochs that are no metric.
constexpr const char* kNotMetrics[] = {"epoch", "epochs", "iteration", "iterations", "imagesPerSecond"};

template <typename T>
T Number(const json& fields, const char* name, T otherwise) {
  const auto found = fields.find(name);
  return found != fields.end() && found->is_number() ? found->get<T>() : otherwise;
}

std::string Text(const json& fields, const char* name) {
  const auto found = fields.find(name);
  return found != fields.end() && found->is_string() ? found->get<std::string>() : "";
}

void FoldMetrics(const json& fields, v1::JobProgress& progress) {
  for (const auto& [name, value] : fields.items()) {
    const bool metric = std::none_of(std::begin(kNotMetrics), std::end(kNotMetrics), [&name = name](const char* other) { return name == other; });
    if (metric && value.is_number()) (*progress.mutable_latest())[name] = value.get<double>();
  }
}

void FoldProgress(const ipc::ParsedEvent& event, v1::JobProgress& progress) {
  const json& fields = event.fields;
  progress.set_epoch(Number(fields, "epoch", progress.epoch()));
  progress.set_epochs(Number(fields, "epochs", progress.epochs()));
  progress.set_images_per_second(Number(fields, "imagesPerSecond", progress.images_per_second()));
  if (event.type == "step") {
    progress.set_done(Number<int64_t>(fields, "iteration", 0));
    progress.set_total(Number<int64_t>(fields, "iterations", 0));
  } else if (event.type == "progress") {
    progress.set_done(Number<int64_t>(fields, "done", 0));
    progress.set_total(Number<int64_t>(fields, "total", 0));
  }
  if (event.type != "progress") FoldMetrics(fields, progress);
}

}  // namespace

void Fold(const ipc::ParsedEvent& event, Report& report) {
  const json& fields = event.fields;
  if (event.type == "step" || event.type == "epoch" || event.type == "progress") {
    FoldProgress(event, report.progress);
  } else if (event.type == "phase") {
    report.progress.set_phase(Text(fields, "phase"));
  } else if (event.type == "banner") {
    report.banner.clear();
    const auto lines = fields.find("lines");
    if (lines == fields.end() || !lines->is_array()) return;
    for (const json& line : *lines) {
      if (line.is_string()) report.banner.push_back(line.get<std::string>());
    }
  } else if (event.type == "warning") {
    if (report.warnings.size() < kWarningsMax) report.warnings.push_back(Text(fields, "message"));
  } else if (event.type == "error") {
    report.error_reason = Text(fields, "reason");
    report.error_message = Text(fields, "message");
  } else if (event.type == "result") {
    report.result = fields;
  }
}

bool EventFollower::Read() {
  const absl::StatusOr<os::UniqueFd> fd = os::Open(path_, O_RDONLY);
  if (!fd.ok()) return false;
  struct stat info;
  if (fstat(fd->get(), &info) != 0 || info.st_size <= offset_) return false;
  bool any = false;
  std::string buffer(std::min(kReadBytes, static_cast<size_t>(info.st_size - offset_)), '\0');
  for (;;) {
    const ssize_t got = pread(fd->get(), buffer.data(), buffer.size(), offset_);
    if (got <= 0) return any;
    any = true;
    offset_ += got;
    torn_.append(buffer, 0, static_cast<size_t>(got));
    size_t start = 0;
    for (size_t end; (end = torn_.find('\n', start)) != std::string::npos; start = end + 1) {
      Take(std::string_view(torn_).substr(start, end - start));
    }
    torn_.erase(0, start);
    if (torn_.size() > kLineMax) torn_.clear();  // no event is that long; what follows its newline is read again
  }
}

void EventFollower::Take(std::string_view line) {
  if (const auto event = ipc::ParseEvent(line); event.ok()) Fold(*event, report_);
}

}  // namespace yoke::launcher
