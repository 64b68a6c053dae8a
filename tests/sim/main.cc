// Runs worlds, one per seed. A violation prints its seed and the end of its trace, and makes the
// exit code 1.
//   scheduler_sim [--seed N] [--seeds N]     --seed: that one, with its whole trace
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/sim/world.h"

namespace yoke::sim {
namespace {

constexpr uint64_t kSeeds = 20'000;
constexpr uint64_t kSeedsLong = 1'000'000;
constexpr size_t kTraceShown = 60;

struct Totals {
  long jobs = 0, attempts = 0, crashes = 0, preemptions = 0, tasks = 0, shared = 0;
};

bool RunSeed(uint64_t seed, bool whole_trace, Totals& totals) {
  World world(seed);
  std::string violation;
  try {
    world.Run();
  } catch (const Violation& found) {
    violation = found.what;
  }
  totals.jobs += world.jobs();
  totals.attempts += world.attempts();
  totals.crashes += world.crashes();
  totals.preemptions += world.preemptions();
  totals.tasks += world.tasks();
  totals.shared += world.shared_starts();
  const std::vector<std::string>& trace = world.trace();
  if (whole_trace || !violation.empty()) {
    const size_t first = whole_trace || trace.size() < kTraceShown ? 0 : trace.size() - kTraceShown;
    for (size_t i = first; i < trace.size(); ++i) std::printf("%s\n", trace[i].c_str());
  }
  if (violation.empty()) return true;
  std::printf("seed %llu: %s\nagain: scheduler_sim --seed %llu\n",
              static_cast<unsigned long long>(seed), violation.c_str(),
              static_cast<unsigned long long>(seed));
  return false;
}

int Main(int argc, char** argv) {
  const char* tier = std::getenv("YOKE_TEST_TIER");
  uint64_t first = 1,
           count = tier != nullptr && std::strcmp(tier, "long") == 0 ? kSeedsLong : kSeeds;
  bool one = false;
  for (int i = 1; i < argc; ++i) {
    const bool seed = std::strcmp(argv[i], "--seed") == 0,
               seeds = std::strcmp(argv[i], "--seeds") == 0;
    if ((!seed && !seeds) || i + 1 == argc) {
      std::fprintf(stderr, "scheduler_sim [--seed N] [--seeds N]\n");
      return 2;
    }
    const uint64_t number = std::strtoull(argv[++i], nullptr, 10);
    (seed ? first : count) = number;
    one |= seed;
  }
  if (one) count = 1;
  Totals totals;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    if (!RunSeed(seed, one, totals)) return 1;
  }
  std::printf(
      "%llu worlds: %ld jobs (%ld of them tasks of arrays), %ld attempts (%ld beside others on "
      "shared devices), %ld deaths of the "
      "daemon, %ld preemptions; nothing "
      "violated\n",
      static_cast<unsigned long long>(count), totals.jobs, totals.tasks, totals.attempts,
      totals.shared, totals.crashes, totals.preemptions);
  return 0;
}

}  // namespace
}  // namespace yoke::sim

int main(int argc, char** argv) { return yoke::sim::Main(argc, argv); }
