#include "server/shim/watchdog.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace yoke::shim {
namespace {

constexpr double kBusyPatience = 30;
constexpr int64_t kTickMaxMs = 1000;
constexpr int64_t kTickMinMs = 50;
constexpr int64_t kTicksPerLimit = 8;
constexpr int64_t kGapTicks = 2;    // a longer gap between looks counts as this many ticks
constexpr int64_t kBusyShare = 20;  // of one core: a twentieth is computing

bool IsStopped(char state) { return state == 'T' || state == 't'; }

const char* StateWords(char state) {
  if (IsStopped(state)) return "it is stopped (SIGSTOP or a debugger)";
  if (state == 'D') return "it is stuck in the kernel (uninterruptible sleep)";
  return "it is alive but does nothing";
}

std::string Name(int rank) { return rank < 0 ? "The preparation" : absl::StrCat("Rank ", rank); }

const Sight& Culprit(const std::vector<Sight>& sights) {
  return *std::min_element(sights.begin(), sights.end(), [](const Sight& a, const Sight& b) {
    const auto order = [](const Sight& sight) {
      return std::make_tuple(!IsStopped(sight.state), sight.progress.step, sight.state != 'D',
                             sight.progress.boot_ms);
    };
    return order(a) < order(b);
  });
}

Hang Describe(const Sight& culprit, const std::vector<Sight>& sights, int64_t silent_ms) {
  const ipc::Progress& progress = culprit.progress;
  Hang hang;
  hang.rank = culprit.rank;
  hang.message = absl::StrCat(Name(culprit.rank), " made no progress for ", silent_ms / 1000,
                              " s: ", StateWords(culprit.state));
  if (!progress.phase.empty()) absl::StrAppend(&hang.message, ", in phase ", progress.phase);
  if (progress.step > 0) absl::StrAppend(&hang.message, " at step ", progress.step);
  int64_t ahead = progress.step;
  for (const Sight& sight : sights) ahead = std::max(ahead, sight.progress.step);
  if (ahead > progress.step) absl::StrAppend(&hang.message, " while others are at step ", ahead);
  absl::StrAppend(&hang.message, ".");
  return hang;
}

}  // namespace

double PatienceOf(const Sight& sight) {
  const std::string& phase = sight.progress.phase;
  if (sight.rank < 0 || phase == "prepare") return kBusyPatience;
  if (phase == "train") return sight.progress.step > 1 ? 1 : 5;
  if (phase.empty() || phase == "start" || phase == "val" || phase == "save" || phase == "label")
    return 5;
  return 15;
}

int64_t Watchdog::tick_ms() const {
  return std::clamp(limit_ms_ / kTicksPerLimit, kTickMinMs, kTickMaxMs);
}

Watchdog::Memory& Watchdog::Remember(int rank) {
  const auto found = std::find_if(memories_.begin(), memories_.end(),
                                  [rank](const Memory& memory) { return memory.rank == rank; });
  if (found != memories_.end()) return *found;
  memories_.emplace_back().rank = rank;
  return memories_.back();
}

bool Watchdog::Overdue(const Sight& sight, const Memory& memory) const {
  const double patience = PatienceOf(sight);
  const auto limit = static_cast<double>(limit_ms_);
  return static_cast<double>(memory.stopped_ms) > limit ||
         static_cast<double>(memory.idle_ms) > limit * patience ||
         static_cast<double>(memory.silent_ms) > limit * std::max(patience, kBusyPatience);
}

std::optional<Hang> Watchdog::Look(int64_t now_ms, const std::vector<Sight>& sights) {
  const int64_t passed =
      looked_ms_ < 0 ? 0 : std::clamp<int64_t>(now_ms - looked_ms_, 0, kGapTicks * tick_ms());
  looked_ms_ = now_ms;
  bool overdue = false;
  for (const Sight& sight : sights) {
    Memory& memory = Remember(sight.rank);
    const bool reported = sight.progress.reports != memory.reports;
    const bool busy = cpu_counts_ && (sight.cpu_ms - memory.cpu_ms) * kBusyShare > passed;
    // The part of this tick after the report is silence already.
    const int64_t since =
        reported ? std::clamp<int64_t>(now_ms - sight.progress.boot_ms, 0, passed) : passed;
    memory.silent_ms = (reported ? 0 : memory.silent_ms) + since;
    memory.idle_ms = busy ? 0 : (reported ? 0 : memory.idle_ms) + since;
    memory.stopped_ms = IsStopped(sight.state) ? memory.stopped_ms + passed : 0;
    memory.reports = sight.progress.reports;
    memory.cpu_ms = sight.cpu_ms;
    overdue = overdue || Overdue(sight, memory);
  }
  if (!overdue) return std::nullopt;
  const Sight& culprit = Culprit(sights);
  return Describe(culprit, sights, Remember(culprit.rank).silent_ms);
}

}  // namespace yoke::shim
