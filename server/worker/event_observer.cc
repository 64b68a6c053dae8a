#include "server/worker/event_observer.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/worker/epoch_table.h"

namespace yoke::worker {
namespace {

using nlohmann::json;

constexpr double kIntervalSeconds = 0.1;
constexpr size_t kWarningsMax = 1000;

double MachineSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

EventObserver::EventObserver(std::unique_ptr<ipc::EventWriter> events, Options options)
    : events_(std::move(events)), options_(std::move(options)) {}

absl::StatusOr<std::unique_ptr<EventObserver>> EventObserver::Open(const ipc::AttemptSpec& attempt,
                                                                   int rank) {
  YOKE_ASSIGN_OR_RETURN(
      std::unique_ptr<ipc::EventWriter> events,
      ipc::EventWriter::Open(absl::StrCat(attempt.attempt_dir, "/", ipc::RankEventsName(rank)),
                             rank));
  Options options{.rank = rank};
  const std::string slots = absl::StrCat(attempt.attempt_dir, "/", ipc::kProgressName);
  if (auto slot = ipc::ProgressFile::Open(slots, rank); slot.ok()) options.slot.emplace(*std::move(slot));
  return std::make_unique<EventObserver>(std::move(events), std::move(options));
}

bool EventObserver::Due(Limit& limit) const {
  const double now = options_.seconds ? options_.seconds() : MachineSeconds();
  if (limit.last && now - *limit.last < kIntervalSeconds) return false;
  limit.last = now;
  return true;
}

void EventObserver::Print(FILE* to, const std::string& line) const {
  std::fprintf(to, "%s\n", line.c_str());
  std::fflush(to);
}

void EventObserver::Append(const char* type, json fields) {
  const absl::Status status = events_->Append(type, std::move(fields));
  if (status.ok() || write_failed_) return;
  write_failed_ = true;
  Print(options_.err, absl::StrCat("yoke-worker: events are lost: ", status.message()));
}

void EventObserver::Sync() {
  const absl::Status status = events_->Sync();
  if (status.ok() || write_failed_) return;
  write_failed_ = true;
  Print(options_.err, absl::StrCat("yoke-worker: events may be lost: ", status.message()));
}

void EventObserver::OnPhase(const std::string& phase) {
  if (options_.slot) options_.slot->Phase(phase);
  if (leads()) Append("phase", {{"phase", phase}});
}

void EventObserver::OnIteration() {
  if (options_.slot) options_.slot->Step();
}

void EventObserver::OnBanner(const std::vector<std::string>& lines) {
  if (!leads()) return;
  for (const std::string& line : lines) Print(options_.out, line);
  Append("banner", {{"lines", lines}});
}

void EventObserver::OnStep(const engine::StepReport& r) {
  if (!leads() || !Due(steps_)) return;
  Append("step", {{"epoch", r.epoch},
                  {"iteration", r.iteration},
                  {"iterations", r.iterations},
                  {"boxLoss", r.box_loss},
                  {"clsLoss", r.cls_loss},
                  {"dflLoss", r.dfl_loss},
                  {"lr", r.lr},
                  {"imagesPerSecond", r.images_per_second},
                  {"instances", r.instances},
                  {"imageSize", r.image_size},
                  {"stageSeconds", r.stage_seconds}});
}

void EventObserver::OnEpoch(const engine::EpochReport& r) {
  if (!leads()) return;
  if (!last_epoch_) Print(options_.out, EpochTableHeader());
  Print(options_.out, EpochTableRow(r));
  last_epoch_ = r;
  Append("epoch", {{"epoch", r.epoch},
                   {"epochs", r.epochs},
                   {"boxLoss", r.box_loss},
                   {"clsLoss", r.cls_loss},
                   {"dflLoss", r.dfl_loss},
                   {"valBoxLoss", r.val_box_loss},
                   {"valClsLoss", r.val_cls_loss},
                   {"valDflLoss", r.val_dfl_loss},
                   {"precision", r.metrics.precision},
                   {"recall", r.metrics.recall},
                   {"map50", r.metrics.map50},
                   {"map5095", r.metrics.map5095},
                   {"fitness", r.metrics.fitness},
                   {"lr", r.lr},
                   {"seconds", r.seconds},
                   {"imagesPerSecond", r.images_per_second},
                   {"stageSeconds", r.stage_seconds}});
  Sync();
}

void EventObserver::OnCheckpoint(const engine::CheckpointReport& r) {
  if (leads()) Append("checkpoint", {{"epoch", r.epoch}, {"path", r.path}, {"kind", r.kind}});
}

void EventObserver::OnProgress(int64_t done, int64_t total, const std::string& unit) {
  if (options_.slot) options_.slot->Touch();
  const bool ends = done == total && !count_ended_;
  if (!leads() || (!Due(progress_) && !ends)) return;
  count_ended_ = done == total;
  Append("progress", {{"done", done}, {"total", total}, {"unit", unit}});
}

void EventObserver::OnWarning(const std::string& sentence) {
  if (warnings_.size() >= kWarningsMax || !warnings_.insert(sentence).second) return;
  Print(options_.err, absl::StrCat("warning: ", sentence));
  Append("warning", {{"message", sentence}});
}

void EventObserver::OnLog(const std::string& line) { Print(options_.out, line); }

absl::Status EventObserver::Result(json result) {
  YOKE_RETURN_IF_ERROR(events_->Append("result", std::move(result)));
  return events_->Sync();
}

void EventObserver::Error(const Failure& failure) {
  Print(options_.err, absl::StrCat("yoke-worker: ", failure.message));
  if (failure.reason.empty()) return;
  Append("error", {{"reason", failure.reason}, {"message", failure.message}});
  Sync();
}

}  // namespace yoke::worker
