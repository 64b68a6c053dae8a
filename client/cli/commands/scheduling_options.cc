#include "client/cli/commands/scheduling_options.h"

#include "CLI/CLI.hpp"
#include "client/cli/commands/byte_size.h"
#include "client/cli/commands/duration.h"
#include "client/lib/client.h"
#include "common/base/status_macros.h"
#include "google/protobuf/util/time_util.h"

namespace yoke::cli {
namespace {

using google::protobuf::util::TimeUtil;

void AddDependencies(const std::vector<std::string>& ids,
                     v1::Scheduling::Dependency::Condition condition, v1::Scheduling& scheduling) {
  for (const std::string& id : ids) {
    v1::Scheduling::Dependency& dependency = *scheduling.add_dependencies();
    dependency.set_job(client::JobName(id));
    dependency.set_condition(condition);
  }
}

}  // namespace

void AddSchedulingOptions(CLI::App& command, SchedulingOptions& options) {
  command.add_flag("--hold", options.hold, "Do not start before yoke job release");
  const auto jobs = [&](const char* flag, std::vector<std::string>& ids, const char* help) {
    command.add_option(flag, ids, help)->type_name("JOB")->delimiter(',')->expected(1)->take_all();
  };
  jobs("--after", options.after, "Start once this job has succeeded; may be repeated");
  jobs("--after-not-ok", options.after_not_ok, "Start once it has failed or been cancelled");
  jobs("--after-any", options.after_any, "Start once it has ended in whatever way");
  command.add_option("--time-limit", options.time_limit, "End it after so long, e.g. 2h; without it others cannot plan around it")->type_name("TIME");
  command.add_option("--signal-before", options.signal_before, "Ask it to save so long before the limit (a tenth, at most 60s)")->type_name("TIME");
  command.add_option("--queue", options.queue, "One of the server's queues")->type_name("NAME");
  command
      .add_option("--share-memory", options.share_memory,
                  "It takes at most so much of each GPU's memory and shares it, unfenced, with "
                  "others that share, e.g. 4GiB")
      ->type_name("SIZE");
  command.add_flag("--preemptible", options.preemptible, "May be stopped for a job of higher priority; continues later");
}

absl::Status ApplyScheduling(const SchedulingOptions& options, v1::CreateJobRequest& request) {
  request.set_hold(options.hold);
  v1::Scheduling scheduling;
  AddDependencies(options.after, v1::Scheduling::Dependency::OK, scheduling);
  AddDependencies(options.after_not_ok, v1::Scheduling::Dependency::NOT_OK, scheduling);
  AddDependencies(options.after_any, v1::Scheduling::Dependency::ANY, scheduling);
  if (!options.time_limit.empty()) {
    YOKE_ASSIGN_OR_RETURN(const absl::Duration limit, ParseDuration("--time-limit", options.time_limit));
    *scheduling.mutable_time_limit() = TimeUtil::MillisecondsToDuration(absl::ToInt64Milliseconds(limit));
  }
  if (!options.signal_before.empty()) {
    YOKE_ASSIGN_OR_RETURN(const absl::Duration before, ParseDuration("--signal-before", options.signal_before));
    *scheduling.mutable_signal_before() = TimeUtil::MillisecondsToDuration(absl::ToInt64Milliseconds(before));
  }
  scheduling.set_queue(options.queue);
  scheduling.set_preemptible(options.preemptible);
  if (!options.share_memory.empty()) {
    YOKE_ASSIGN_OR_RETURN(const int64_t bytes, ParseBytes("--share-memory", options.share_memory));
    scheduling.set_share_memory_bytes(bytes);
  }
  if (scheduling.ByteSizeLong() > 0) *request.mutable_scheduling() = std::move(scheduling);
  return absl::OkStatus();
}

}  // namespace yoke::cli
