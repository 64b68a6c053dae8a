// fake_worker: stands in for yoke-worker in tests of everything around it. Same command line (--spec,
// --prepare, --probe), same files, same exit codes; behaves as its script (script.h) says.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <new>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/ipc/events.h"
#include "common/ipc/progress.h"
#include "common/os/file.h"
#include "common/os/process.h"
#include "tests/support/fake_worker/script.h"

namespace yoke::fake_worker {
namespace {

using nlohmann::json;

volatile sig_atomic_t stop_asked = 0;

int64_t Microseconds() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

void SleepFor(double seconds) {
  timespec time = {static_cast<time_t>(seconds),
                   static_cast<long>((seconds - static_cast<double>(static_cast<time_t>(seconds))) * 1e9)};
  nanosleep(&time, nullptr);
}

// As zlib's.
uint32_t Crc32(std::string_view bytes) {
  uint32_t crc = ~uint32_t{0};
  for (const unsigned char byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  return ~crc;
}

class Worker {
 public:
  Worker(ipc::AttemptSpec spec, Script script, int rank)
      : spec_(std::move(spec)), script_(std::move(script)), rank_(rank) {}

  absl::StatusOr<int> Run() {
    signal(SIGTERM, script_.ignore_term ? SIG_IGN : [](int) { stop_asked = 1; });
    Witness(absl::StrCat("START ", spec_.job, " ", spec_.attempt, " ", spec_.run_id, " ", rank_,
                         " ", getpid(), " ", os::StartTicks(getpid()).value_or(0), " ",
                         Microseconds()));
    if (script_.events) {
      YOKE_ASSIGN_OR_RETURN(
          events_, ipc::EventWriter::Open(
                       absl::StrCat(spec_.attempt_dir, "/", ipc::RankEventsName(rank_)), rank_));
    }
    if (auto slots = ipc::ProgressFile::Open(absl::StrCat(spec_.attempt_dir, "/", ipc::kProgressName), rank_); slots.ok()) {
      slots_.emplace(*std::move(slots));
    }
    for (const std::string& line : script_.lines) std::printf("%s\n", line.c_str());
    std::fflush(stdout);
    if (!script_.stray.empty()) YOKE_RETURN_IF_ERROR(LeaveStray());
    YOKE_RETURN_IF_ERROR(Steps());
    while (script_.hang && !stop_asked) SleepFor(0.05);
    return stop_asked ? Stopped() : End();
  }

 private:
  absl::Status Event(const char* type, json fields) {
    return events_ == nullptr ? absl::OkStatus() : events_->Append(type, std::move(fields));
  }

  absl::Status Steps() {
    if (rank_ == 0) {
      YOKE_RETURN_IF_ERROR(Event("phase", {{"phase", "train"}}));
      YOKE_RETURN_IF_ERROR(Event("banner", {{"lines", spec_.device_words}}));
    }
    if (slots_) slots_->Phase(script_.phase);
    const int steps = static_cast<int>(script_.run_for * script_.lines_per_second);
    const int per_epoch = std::max(1, steps / std::max(1, script_.epochs));
    for (int step = 1; step <= steps && !stop_asked; ++step) {
      BeginStep(step);
      SleepFor(1 / script_.lines_per_second);
      const int epoch = std::min(script_.epochs, (step - 1) / per_epoch + 1);
      PrintStep(epoch, step);
      if (rank_ == 0) {
        YOKE_RETURN_IF_ERROR(Event("step", {{"epoch", epoch},
                                            {"iteration", (step - 1) % per_epoch + 1},
                                            {"iterations", per_epoch},
                                            {"boxLoss", 1.0 / step},
                                            {"clsLoss", 2.0 / step},
                                            {"dflLoss", 1.5 / step},
                                            {"lr", 0.01},
                                            {"imagesPerSecond", 100.0},
                                            {"instances", 10},
                                            {"imageSize", 640}}));
        if (step % per_epoch == 0) YOKE_RETURN_IF_ERROR(EndEpoch(step / per_epoch));
      }
      if (step == script_.end_at_step) return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  void PrintStep(int epoch, int step) const {
    const std::string line = absl::StrCat("rank ", rank_, " epoch ", epoch, " step ", step);
    if (script_.checked) {
      std::printf("%s crc %08x\n", line.c_str(), Crc32(line));
    } else {
      std::printf("%s\n", line.c_str());
    }
    std::fflush(stdout);
  }

  void BeginStep(int step) {
    if (!slots_) return;
    slots_->Step();
    while (step == script_.stuck_at_step && !stop_asked) SleepFor(0.05);
    while (step == script_.spin_at_step && !stop_asked) {
    }
    while (script_.collective && Behind(step) && !stop_asked) SleepFor(0.002);
  }

  bool Behind(int step) const {
    for (size_t rank = 0; rank < spec_.ranks.size(); ++rank) {
      if (slots_->Read(static_cast<int>(rank)).step < step) return true;
    }
    return false;
  }

  absl::Status EndEpoch(int epoch) {
    YOKE_RETURN_IF_ERROR(Event("epoch", {{"epoch", epoch},
                                         {"epochs", script_.epochs},
                                         {"boxLoss", 1.0 / epoch},
                                         {"clsLoss", 2.0 / epoch},
                                         {"dflLoss", 1.5 / epoch},
                                         {"map50", 0.85},
                                         {"map5095", 0.6},
                                         {"fitness", 0.625},
                                         {"lr", {0.01}},
                                         {"seconds", 1.0},
                                         {"imagesPerSecond", 100.0}}));
    return Save();
  }

  absl::Status Save() {
    const std::string folder = spec_.run_dir + "/weights";
    YOKE_RETURN_IF_ERROR(os::MakeDirs(folder));
    YOKE_RETURN_IF_ERROR(os::AtomicWriteFile(folder + "/last.pt", "fake weights\n"));
    return Event("checkpoint", {{"path", folder + "/last.pt"}, {"kind", "last"}});
  }

  absl::StatusOr<int> Stopped() {
    if (rank_ == 0) YOKE_RETURN_IF_ERROR(Save());
    std::printf("rank %d stopped as asked\n", rank_);
    std::fflush(stdout);
    Witness(EndLine(ipc::kWorkerStopped));
    return ipc::kWorkerStopped;
  }

  absl::StatusOr<int> End() {
    if (script_.eat > 0) {
      try {
        Eat();
      } catch (const std::bad_alloc&) {
        if (!script_.eat_caught) throw;
        YOKE_RETURN_IF_ERROR(Event("error", {{"reason", "OUT_OF_MEMORY"}, {"message", "out of memory; lower batch"}}));
        Witness(EndLine(ipc::kWorkerOutOfMemory));
        return ipc::kWorkerOutOfMemory;
      }
    }
    if (script_.fork_bomb) ForkBomb();
    if (!script_.error_reason.empty()) {
      YOKE_RETURN_IF_ERROR(Event("error", {{"reason", script_.error_reason},
                                           {"message", script_.error_message}}));
    }
    if (script_.signal != 0) {
      const rlimit no_core = {0, 0};
      setrlimit(RLIMIT_CORE, &no_core);
      signal(script_.signal, SIG_DFL);
      raise(script_.signal);
    }
    if (rank_ == 0 && script_.exit_code == 0 && !script_.result.empty()) {
      YOKE_RETURN_IF_ERROR(Event("result", script_.result));
    }
    Witness(EndLine(script_.exit_code));
    return script_.exit_code;
  }

  std::string EndLine(int code) const {
    return absl::StrCat("END ", spec_.job, " ", spec_.attempt, " ", spec_.run_id, " ", rank_, " ",
                        code);
  }

  void Witness(const std::string& line) const {
    if (script_.witness.empty()) return;
    const auto fd = os::Open(script_.witness, O_WRONLY | O_CREAT | O_APPEND);
    if (fd.ok()) os::WriteAll(fd->get(), line + "\n", script_.witness).IgnoreError();
  }

  void Eat() const {
    const rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    if (script_.eat_in.empty()) {
      long pages = 0;
      std::ifstream("/proc/self/statm") >> pages;
      const rlim_t limit = static_cast<rlim_t>(pages) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (static_cast<rlim_t>(script_.eat) << 20);
      const rlimit memory = {limit, limit};
      setrlimit(RLIMIT_AS, &memory);
    } else {
      std::ofstream(script_.eat_in + "/cgroup.procs") << getpid();
    }
    constexpr size_t kBite = 4 << 20;
    for (std::vector<std::unique_ptr<char[]>> eaten;;) {
      eaten.emplace_back(new char[kBite]);
      std::memset(eaten.back().get(), 1, kBite);
    }
  }

  // Returns in the process that began it, a second after no more could be forked.
  static void ForkBomb() {
    const pid_t first = getpid();
    for (;;) {
      if (fork() >= 0) continue;
      if (getpid() == first) return SleepFor(1);
      SleepFor(0.02);
    }
  }

  // Forks twice, so that the stray is nobody's child, in a session of its own, its files closed.
  absl::Status LeaveStray() const {
    const pid_t child = fork();
    if (child < 0) return os::ErrnoStatus(errno, "cannot fork");
    if (child > 0) return os::Wait(child).status();
    setsid();
    if (fork() != 0) _exit(0);
    os::AtomicWriteFile(spec_.run_dir + "/stray.pid", std::to_string(getpid())).IgnoreError();
    for (int fd = 0; fd < 64; ++fd) close(fd);
    if (script_.stray == "bare") {
      char* const no_env[] = {nullptr};
      execle("/bin/sleep", "sleep", "600", nullptr, no_env);
    }
    sleep(600);
    _exit(0);
  }

  const ipc::AttemptSpec spec_;
  const Script script_;
  const int rank_;
  std::unique_ptr<ipc::EventWriter> events_;
  std::optional<ipc::ProgressFile> slots_;
};

absl::StatusOr<int> RunFromSpec(const std::string& path, bool prepare) {
  YOKE_ASSIGN_OR_RETURN(const json object, ipc::ReadJsonFile(path));
  YOKE_ASSIGN_OR_RETURN(ipc::AttemptSpec spec, ipc::AttemptSpecFromJson(object));
  const char* variable = std::getenv("RANK");
  const int rank = prepare ? kPrepareRank : std::atoi(variable == nullptr ? "0" : variable);
  YOKE_ASSIGN_OR_RETURN(Script script, ReadScript(spec, rank));
  return Worker(std::move(spec), std::move(script), rank).Run();
}

int Main(int argc, char** argv) {
  std::string spec;
  bool prepare = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--prepare") == 0) {
      prepare = true;
    } else if (std::strcmp(argv[i], "--spec") == 0 && i + 1 < argc) {
      spec = argv[++i];
    } else if (std::strcmp(argv[i], "--probe") == 0) {
      std::puts(R"({"torch": "fake", "cuda": false, "devices": []})");
      return 0;
    } else {
      std::fprintf(stderr, "fake_worker: what is '%s'?\n", argv[i]);
      return ipc::kWorkerError;
    }
  }
  const absl::StatusOr<int> code = RunFromSpec(spec, prepare);
  if (code.ok()) return *code;
  std::fprintf(stderr, "fake_worker: %s\n", std::string(code.status().message()).c_str());
  return ipc::kWorkerError;
}

}  // namespace
}  // namespace yoke::fake_worker

int main(int argc, char** argv) { return yoke::fake_worker::Main(argc, argv); }
