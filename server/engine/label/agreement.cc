// Messages are text: numbers, then a NUL, then sentences that end in one.
#include "server/engine/label/agreement.h"

#include <algorithm>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace yoke::engine {
namespace {

constexpr char kNul = '\0';

absl::Status Broken() { return absl::InternalError("a rank sent a message that breaks off"); }

}  // namespace

absl::StatusOr<RankState> Agree(const absl::StatusOr<RankState>& mine, Group& group) {
  std::ostringstream out;
  const RankState state = mine.value_or(RankState());
  out << static_cast<int>(mine.status().code()) << ' ' << state.done << ' ' << state.finished << ' '
      << state.stop << kNul << std::string(mine.status().message());
  YOKE_ASSIGN_OR_RETURN(const std::vector<std::string> all, group.AllGatherBytes(out.str()));
  RankState agreed{.finished = true};
  for (const std::string& one : all) {
    const size_t end = one.find(kNul);
    std::istringstream in(one.substr(0, end));
    int code = 0;
    RankState theirs;
    if (end == std::string::npos ||
        !(in >> code >> theirs.done >> theirs.finished >> theirs.stop)) {
      return Broken();
    }
    if (code != 0) return absl::Status(static_cast<absl::StatusCode>(code), one.substr(end + 1));
    agreed.done += theirs.done;
    agreed.finished = agreed.finished && theirs.finished;
    agreed.stop = agreed.stop || theirs.stop;
  }
  return agreed;
}

absl::StatusOr<LabelResult> SumOverRanks(const LabelResult& mine, double seconds, Group& group) {
  std::ostringstream out;
  out << mine.labelled << ' ' << mine.empty << ' ' << mine.kept << ' ' << mine.failed << ' '
      << mine.boxes << ' ' << seconds << kNul;
  for (const std::string& failure : mine.failures) out << failure << kNul;
  YOKE_ASSIGN_OR_RETURN(const std::vector<std::string> all, group.AllGatherBytes(out.str()));
  LabelResult sum;
  sum.images = mine.images;
  sum.stopped = mine.stopped;
  double longest = 0;
  for (const std::string& one : all) {
    std::istringstream in(one);
    std::string numbers, failure;
    std::getline(in, numbers, kNul);
    std::istringstream fields(numbers);
    LabelResult theirs;
    double their_seconds = 0;
    if (!(fields >> theirs.labelled >> theirs.empty >> theirs.kept >> theirs.failed >>
          theirs.boxes >> their_seconds)) {
      return Broken();
    }
    sum.labelled += theirs.labelled;
    sum.empty += theirs.empty;
    sum.kept += theirs.kept;
    sum.failed += theirs.failed;
    sum.boxes += theirs.boxes;
    longest = std::max(longest, their_seconds);
    while (std::getline(in, failure, kNul)) sum.failures.push_back(failure);
  }
  if (longest > 0) sum.images_per_second = static_cast<double>(sum.labelled + sum.empty) / longest;
  std::sort(sum.failures.begin(), sum.failures.end());
  if (sum.failures.size() > kLabelFailuresNamed) sum.failures.resize(kLabelFailuresNamed);
  return sum;
}

absl::StatusOr<bool> SameOnAllRanks(const std::string& value, Group& group) {
  YOKE_ASSIGN_OR_RETURN(const std::vector<std::string> all, group.AllGatherBytes(value));
  return std::all_of(all.begin(), all.end(), [&](const std::string& one) { return one == value; });
}

}  // namespace yoke::engine
