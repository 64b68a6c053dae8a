#include "server/worker/rank.h"

#include <sys/resource.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"

namespace yoke::worker {

absl::StatusOr<std::vector<double>> GatherNumbers(double mine, engine::Group& group) {
  YOKE_ASSIGN_OR_RETURN(const std::vector<std::string> texts,
                        group.AllGatherBytes(absl::StrFormat("%.17g", mine)));
  std::vector<double> numbers;
  for (const std::string& text : texts) {
    double number = 0;
    if (!absl::SimpleAtod(text, &number))
      return absl::InternalError("a rank sent no number: " + text);
    numbers.push_back(number);
  }
  return numbers;
}

int64_t PeakRssBytes() {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace yoke::worker
