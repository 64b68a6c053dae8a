#include "client/cli/output/progress.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/output/table.h"
#include "client/cli/output/text.h"

namespace yoke::cli {
namespace {

constexpr int kBarWidth = 20;

std::string Bar(double done, double total) {
  const int filled = total > 0 ? static_cast<int>(kBarWidth * std::clamp(done / total, 0.0, 1.0)) : 0;
  return absl::StrCat("[", std::string(filled, '#'), std::string(kBarWidth - filled, '.'), "]");
}

}  // namespace

double Number(const v1::Event& event, const std::string& field) {
  const auto found = event.fields().fields().find(field);
  return found == event.fields().fields().end() ? 0 : found->second.number_value();
}

std::string Text(const v1::Event& event, const std::string& field) {
  const auto found = event.fields().fields().find(field);
  return found == event.fields().fields().end() ? "" : found->second.string_value();
}

std::string BarLine(const v1::Event& event, absl::Duration since_epoch_began, int width) {
  std::string line;
  if (event.type() == "step") {
    const double done = Number(event, "iteration"), total = Number(event, "iterations");
    line = absl::StrFormat("epoch %d %s %d/%d  box %.3g  cls %.3g  dfl %.3g  %.1f images/s", static_cast<int>(Number(event, "epoch")),
                           Bar(done, total), static_cast<int>(done), static_cast<int>(total), Number(event, "boxLoss"),
                           Number(event, "clsLoss"), Number(event, "dflLoss"), Number(event, "imagesPerSecond"));
    if (done > 0 && total > done && since_epoch_began > absl::ZeroDuration()) {
      absl::StrAppend(&line, "  ETA ", ShortDuration(since_epoch_began * ((total - done) / done)));
    }
  } else {
    const double done = Number(event, "done"), total = Number(event, "total");
    line = absl::StrFormat("%s %d/%d %s", Bar(done, total), static_cast<int64_t>(done), static_cast<int64_t>(total), Text(event, "unit"));
  }
  return Cut(line, static_cast<size_t>(std::max(1, width - 1)));
}

void Progress::Erase() {
  if (!bar_.empty()) out_ << "\r\x1b[K";
}

void Progress::Draw(const std::string& bar) {
  Erase();
  bar_ = bar;
  out_ << bar_ << std::flush;
}

void Progress::Line(const std::string& line) {
  MutexLock lock(mutex_);
  Erase();
  out_ << line << "\n" << bar_ << std::flush;
}

void Progress::Clear() {
  MutexLock lock(mutex_);
  Erase();
  bar_.clear();
  out_ << std::flush;
}

void Progress::Event(const v1::Event& event, absl::Time now) {
  MutexLock lock(mutex_);
  if (!terminal_.is_terminal()) return;
  if (event.type() == "phase") {
    Draw(absl::StrCat(Text(event, "phase"), " ..."));
  } else if (event.type() == "step" || event.type() == "progress") {
    if (event.type() == "step" && Number(event, "epoch") != epoch_) {
      epoch_ = Number(event, "epoch");
      epoch_began_ = now;
    }
    Draw(BarLine(event, now - epoch_began_, terminal_.width()));
  }
}

}  // namespace yoke::cli
