#include "server/worker/run.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <new>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "c10/util/Exception.h"
#include "common/base/status_macros.h"
#include "common/os/file.h"
#include "server/engine/train/out_of_memory.h"
#include "server/worker/banner.h"
#include "server/worker/device.h"
#include "server/worker/failure.h"
#include "server/worker/inputs.h"
#include "server/worker/prepare.h"
#include "server/worker/spec_reader.h"
#include "server/worker/stop_flag.h"
#include "server/worker/tasks/tasks.h"

namespace yoke::worker {
namespace {

// How long a rank that lost its peers waits before it ends.
constexpr auto kLinger = std::chrono::seconds(1);

struct Place {
  int rank = 0, local_rank = 0;
};

absl::StatusOr<ipc::AttemptSpec> ReadAttempt(const std::string& path) {
  YOKE_ASSIGN_OR_RETURN(const nlohmann::json json, ipc::ReadJsonFile(path));
  absl::StatusOr<ipc::AttemptSpec> attempt = ipc::AttemptSpecFromJson(json);
  if (!attempt.ok())
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", attempt.status().message()));
  if (attempt->ranks.empty()) return absl::InvalidArgumentError(absl::StrCat(path, ": no ranks"));
  return attempt;
}

absl::StatusOr<int> NumberFrom(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return otherwise;
  int number = 0;
  if (absl::SimpleAtoi(text, &number)) return number;
  return absl::InvalidArgumentError(absl::StrCat(variable, "=", text, " is no whole number"));
}

absl::StatusOr<Place> PlaceIn(const ipc::AttemptSpec& attempt) {
  const int ranks = static_cast<int>(attempt.ranks.size());
  Place place;
  YOKE_ASSIGN_OR_RETURN(place.rank, NumberFrom("RANK", ranks == 1 ? 0 : -1));
  YOKE_ASSIGN_OR_RETURN(place.local_rank, NumberFrom("LOCAL_RANK", place.rank));
  YOKE_ASSIGN_OR_RETURN(const int world_size, NumberFrom("WORLD_SIZE", ranks));
  if (place.rank >= 0 && place.rank < ranks && world_size == ranks) return place;
  return absl::InvalidArgumentError(absl::StrCat(
      "RANK=", place.rank, " WORLD_SIZE=", world_size, " do not fit spec.json, which has ", ranks,
      " ranks; start one process for each, RANK=0 to ", ranks - 1));
}

absl::StatusOr<TaskEnd> RunTask(const Job& job, Rank& rank) {
  struct Call {
    Rank& rank;
    absl::StatusOr<TaskEnd> operator()(const engine::TrainConfig& config) {
      return RunTrainTask(config, rank);
    }
    absl::StatusOr<TaskEnd> operator()(const engine::ValConfig& config) {
      return RunValidateTask(config, rank);
    }
    absl::StatusOr<TaskEnd> operator()(const engine::LabelConfig& config) {
      return RunLabelTask(config, rank);
    }
    absl::StatusOr<TaskEnd> operator()(const ProcessJob& job) { return RunProcessTask(job, rank); }
    absl::StatusOr<TaskEnd> operator()(const SelftestJob& job) {
      return RunSelftestTask(job, rank);
    }
    absl::StatusOr<TaskEnd> operator()(const engine::ExportConfig& config) {
      return RunExportTask(config, rank);
    }
  };
  return std::visit(Call{rank}, job.task);
}

// What the prepare phase is to several ranks.
absl::Status PrepareHere(const ipc::AttemptSpec& attempt, const Job& job, EventObserver& observer) {
  observer.OnPhase("prepare");
  YOKE_RETURN_IF_ERROR(
      CheckJob(attempt, job,
               {.warn = [&](const std::string& sentence) { observer.OnWarning(sentence); },
                .progress = [&](int64_t done,
                                int64_t total) { observer.OnProgress(done, total, "images"); }}));
  observer.OnPhase("start");
  return absl::OkStatus();
}

// `group` outlives this call, see RunRank.
absl::StatusOr<TaskEnd> Work(const ipc::AttemptSpec& attempt, Place place, EventObserver& observer,
                             const StopFlag& stop, std::shared_ptr<engine::Group>& group) {
  YOKE_ASSIGN_OR_RETURN(Job job, ReadJob(attempt));
  YOKE_RETURN_IF_ERROR(ResolveInputs(attempt, job));
  observer.OnBanner(BannerLines(attempt, job));
  if (place.rank == 0) {
    for (const std::string& warning : job.warnings) observer.OnWarning(warning);
  }
  // Neither a long scan nor a peer that never comes may hold up the end; there is nothing to save
  // yet.
  stop.set_ends_at_once(true);
  if (attempt.prepare && !ipc::PreparesApart(attempt)) {
    YOKE_RETURN_IF_ERROR(PrepareHere(attempt, job, observer));
  }
  YOKE_RETURN_IF_ERROR(os::MakeDirs(attempt.run_dir));
  YOKE_ASSIGN_OR_RETURN(
      const at::Device device,
      OpenDevice(attempt.ranks[static_cast<size_t>(place.rank)], place.local_rank));
  YOKE_ASSIGN_OR_RETURN(group,
                        engine::MakeGroup({.rank = place.rank,
                                           .world_size = static_cast<int>(attempt.ranks.size()),
                                           .store_path = attempt.attempt_dir + "/rendezvous",
                                           .backend = attempt.backend}));
  stop.set_ends_at_once(false);
  Rank rank{attempt, device, group, observer, stop};
  YOKE_ASSIGN_OR_RETURN(TaskEnd end, RunTask(job, rank));
  if (rank.leads()) YOKE_RETURN_IF_ERROR(observer.Result(std::move(end.result)));
  YOKE_RETURN_IF_ERROR(end.verdict);
  return end;
}

// `what` may open with "[FILE:LINE] " of gloo's own source.
absl::Status LostPeers(const std::string& what) {
  const size_t place = absl::StartsWith(what, "[") ? what.find("] ") : std::string::npos;
  return absl::UnavailableError(
      absl::StrCat("lost the connection to another rank: ",
                   place == std::string::npos ? what : what.substr(place + 2)));
}

// Averaging gradients throws from within the backward pass, so the loss of a peer may arrive as an
// exception.
absl::StatusOr<TaskEnd> WorkGuarded(const ipc::AttemptSpec& attempt, Place place,
                                    EventObserver& observer, const StopFlag& stop,
                                    std::shared_ptr<engine::Group>& group) {
  try {
    return Work(attempt, place, observer, stop, group);
  } catch (const c10::OutOfMemoryError& error) {
    return OutOfMemory(absl::StrCat("out of memory on the device; lower batch or imgsz: ",
                                    error.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    return OutOfMemory("out of memory; lower batch, imgsz or workers");
  } catch (const c10::DistError& error) {
    return LostPeers(error.what_without_backtrace());
  } catch (const c10::Error& error) {
    if (engine::IsOutOfMemory(error)) {
      return OutOfMemory(absl::StrCat("out of memory; lower batch, imgsz or workers: ",
                                      error.what_without_backtrace()));
    }
    return absl::InternalError(error.what_without_backtrace());
  } catch (const std::exception& error) {
    const std::string what = error.what();
    return absl::StrContains(what, "/gloo/") ? LostPeers(what) : absl::InternalError(what);
  }
}

int Complain(const absl::Status& status) {
  const Failure failure = FailureOf(status);
  std::fprintf(stderr, "yoke-worker: %s\n", failure.message.c_str());
  return failure.exit;
}

}  // namespace

int RunRank(const std::string& spec_path) {
  const StopFlag stop;
  const absl::StatusOr<ipc::AttemptSpec> attempt = ReadAttempt(spec_path);
  if (!attempt.ok()) return Complain(attempt.status());
  const absl::StatusOr<Place> place = PlaceIn(*attempt);
  if (!place.ok()) return Complain(place.status());
  SetUpProcess(attempt->ranks[static_cast<size_t>(place->rank)].threads);
  const absl::StatusOr<std::unique_ptr<EventObserver>> observer =
      EventObserver::Open(*attempt, place->rank);
  if (!observer.ok()) return Complain(observer.status());

  std::shared_ptr<engine::Group> group;
  const absl::StatusOr<TaskEnd> end = WorkGuarded(*attempt, *place, **observer, stop, group);
  if (end.ok()) {
    if (end->stopped) (*observer)->OnLog("stopped as asked");
    return end->stopped ? ipc::kWorkerStopped : ipc::kWorkerOk;
  }
  const Failure failure = FailureOf(end.status());
  (*observer)->Error(failure);
  // The supervisor names the rank that ended first as the cause. So the rank that knows the cause
  // ends before its connections close (a group that is destroyed closes them), and one that only
  // lost its peers gives them the time.
  if (failure.reason == "RANK_FAILED" && !stop.requested()) std::this_thread::sleep_for(kLinger);
  std::fflush(nullptr);
  _exit(failure.exit);
}

int RunPrepare(const std::string& spec_path) {
  const absl::StatusOr<ipc::AttemptSpec> attempt = ReadAttempt(spec_path);
  const absl::StatusOr<Prepared> prepared = attempt.ok() ? Prepare(*attempt) : attempt.status();
  std::printf("%s\n", PrepareAnswer(prepared)
                          .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
                          .c_str());
  std::fflush(stdout);
  return prepared.ok() ? ipc::kWorkerOk : Complain(prepared.status());
}

}  // namespace yoke::worker
