#include "server/worker/banner.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace yoke::worker {
namespace {

struct Batch {
  int64_t total = 0, each = 0;  // 0: the job has none
  bool trains = false;
};

Batch BatchOf(const Job& job, int64_t ranks) {
  if (const auto* train = std::get_if<engine::TrainConfig>(&job.task))
    return {train->batch, train->batch / ranks, true};
  if (const auto* val = std::get_if<engine::ValConfig>(&job.task))
    return {val->batch, val->batch / ranks, false};
  if (const auto* label = std::get_if<engine::LabelConfig>(&job.task))
    return {label->batch * ranks, label->batch, false};
  if (const auto* selftest = std::get_if<SelftestJob>(&job.task))
    return {selftest->batch, selftest->batch / ranks, true};
  const auto* process = std::get_if<ProcessJob>(&job.task);
  if (process != nullptr && process->train)
    return {process->train->batch, process->train->batch / ranks, true};
  return {};
}

bool IsOrdinals(const std::string& device) {
  return !device.empty() && device.find_first_not_of("0123456789, ") == std::string::npos;
}

}  // namespace

std::vector<std::string> BannerLines(const ipc::AttemptSpec& attempt, const Job& job) {
  const bool cpu = OnCpu(attempt);
  const auto ranks = static_cast<int64_t>(attempt.ranks.size());
  const Batch batch = BatchOf(job, ranks);
  std::vector<std::string> lines = {
      absl::StrCat(cpu ? "CPU devices: " : "GPUs: ", ranks),
      absl::StrCat("Devices: ", absl::StrJoin(attempt.device_words, ", "))};
  if (cpu && IsOrdinals(job.device)) {
    lines.push_back(
        absl::StrCat("No GPU on this machine: device=", job.device, " means CPU slots"));
  }
  if (batch.total == -1) {
    lines.push_back("Total batch: the most that fits, found on the devices");
  } else if (batch.total > 0) {
    lines.push_back(absl::StrCat("Total batch: ", batch.total));
    lines.push_back(absl::StrCat("Batch per device: ", batch.each));
  }
  if (ranks == 1) {
    lines.push_back("Method: single device");
  } else if (batch.trains) {
    lines.push_back(absl::StrCat("Method: DDP (", cpu ? "gloo" : "NCCL", ")"));
  } else if (batch.total > 0) {
    lines.push_back("Method: images shared out over the devices");
  }
  return lines;
}

}  // namespace yoke::worker
