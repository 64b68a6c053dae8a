// Turns what the engine reports into rankK.events.jsonl for programs and log lines for people.
#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/ipc/attempt_files.h"
#include "common/ipc/events.h"
#include "common/ipc/progress.h"
#include "server/engine/observer.h"
#include "server/worker/failure.h"

namespace yoke::worker {

// Used by one thread. At most 10 step and 10 progress events a second are written (the last
// progress of a count always is), and the file is durable up to each epoch. Rank 0 alone says where
// the job is: of the others only warnings, errors and log lines come through. An event that cannot
// be written is told on stderr once and lost; only the result's loss is an error. Every rank keeps its
// progress slot up to date, if the attempt has slots.
class EventObserver : public engine::Observer {
 public:
  struct Options {
    int rank = 0;
    FILE* out = stdout;
    FILE* err = stderr;
    std::optional<ipc::ProgressFile> slot = std::nullopt;
    std::function<double()> seconds;  // a clock that never goes back; empty: the machine's
  };
  EventObserver(std::unique_ptr<ipc::EventWriter> events, Options options);
  // Writes to the attempt's rankK.events.jsonl and the process' own output.
  static absl::StatusOr<std::unique_ptr<EventObserver>> Open(const ipc::AttemptSpec& attempt,
                                                             int rank);

  void OnPhase(const std::string& phase) override;
  void OnIteration() override;
  void OnBanner(const std::vector<std::string>& lines) override;
  void OnStep(const engine::StepReport& report) override;
  void OnEpoch(const engine::EpochReport& report) override;
  void OnCheckpoint(const engine::CheckpointReport& report) override;
  void OnProgress(int64_t done, int64_t total, const std::string& unit) override;
  void OnWarning(const std::string& sentence) override;
  void OnLog(const std::string& line) override;

  // The API's JobResult as JSON; durable on return.
  absl::Status Result(nlohmann::json result);
  // One line on stderr and an `error` event.
  void Error(const Failure& failure);

  const std::optional<engine::EpochReport>& last_epoch() const { return last_epoch_; }

 private:
  // Lets one call through per interval.
  struct Limit {
    std::optional<double> last;
  };
  bool Due(Limit& limit) const;
  void Append(const char* type, nlohmann::json fields);
  void Sync();
  void Print(FILE* to, const std::string& line) const;
  bool leads() const { return options_.rank == 0; }

  const std::unique_ptr<ipc::EventWriter> events_;
  Options options_;
  Limit steps_, progress_;
  std::set<std::string> warnings_;  // said already: ranks and splits repeat themselves
  std::optional<engine::EpochReport> last_epoch_;
  bool count_ended_ = false;  // the last progress written was the end of its count
  bool write_failed_ = false;
};

}  // namespace yoke::worker
