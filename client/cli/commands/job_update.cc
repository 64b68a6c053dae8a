// yoke job update ID... key=value...: what can still be changed of jobs that were submitted.
#include <algorithm>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/commands/byte_size.h"
#include "client/cli/commands/change_jobs.h"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/duration.h"
#include "client/cli/keys/key_list.h"
#include "client/cli/output/text.h"
#include "common/base/status_macros.h"
#include "google/protobuf/util/time_util.h"

namespace yoke::cli {
namespace {

using Dependency = v1::Scheduling::Dependency;

constexpr char kKeysHelp[] =
    "name=LABEL, priority=N, queue=NAME, preemptible=True, time_limit=2h, signal_before=5m, "
    "after=JOB,JOB, after_not_ok=JOB, after_any=JOB, parallel=N (of an array), share_memory=4GiB; "
    "an empty value "
    "takes the setting away";

void AddDependencies(const std::string& value, Dependency::Condition condition,
                     v1::Scheduling& scheduling) {
  for (const absl::string_view id : absl::StrSplit(value, ',', absl::SkipEmpty())) {
    Dependency& dependency = *scheduling.add_dependencies();
    dependency.set_job(client::JobName(std::string(id)));
    dependency.set_condition(condition);
  }
}

absl::Status SetDuration(const std::string& key, const std::string& value,
                         google::protobuf::Duration& duration) {
  YOKE_ASSIGN_OR_RETURN(const absl::Duration parsed, ParseDuration(key, value));
  duration =
      google::protobuf::util::TimeUtil::MillisecondsToDuration(absl::ToInt64Milliseconds(parsed));
  return absl::OkStatus();
}

absl::Status SetBool(const std::string& key, const std::string& value, bool& flag) {
  const std::string lower = absl::AsciiStrToLower(value);
  flag = lower == "true" || lower == "1";
  if (flag || lower == "false" || lower == "0" || lower.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(key, "=", value, ": True or False is wanted"));
}

// Puts one key=value into the job and returns the path of its field.
absl::StatusOr<std::string> SetKey(const std::string& key, const std::string& value, v1::Job& job) {
  v1::Scheduling& scheduling = *job.mutable_scheduling();
  if (key == "name") {
    job.set_display_name(value);
    return "display_name";
  }
  if (key == "priority") {
    int priority = 0;
    if (!value.empty() && !absl::SimpleAtoi(value, &priority))
      return absl::InvalidArgumentError(
          absl::StrCat("priority=", value, ": a whole number is wanted"));
    job.set_priority(priority);
    return "priority";
  }
  if (key == "queue") {
    scheduling.set_queue(value);
    return "scheduling.queue";
  }
  if (key == "preemptible") {
    bool preemptible = false;
    YOKE_RETURN_IF_ERROR(SetBool(key, value, preemptible));
    scheduling.set_preemptible(preemptible);
    return "scheduling.preemptible";
  }
  if (key == "share_memory") {
    if (!value.empty()) {
      YOKE_ASSIGN_OR_RETURN(const int64_t bytes, ParseBytes(key, value));
      scheduling.set_share_memory_bytes(bytes);
    }
    return "scheduling.share_memory_bytes";
  }
  if (key == "parallel") {
    int most = 0;
    if (!value.empty() && !absl::SimpleAtoi(value, &most))
      return absl::InvalidArgumentError(
          absl::StrCat("parallel=", value, ": a whole number is wanted"));
    job.mutable_array()->set_running_max(most);
    return "array.running_max";
  }
  if (key == "time_limit") {
    if (!value.empty())
      YOKE_RETURN_IF_ERROR(SetDuration(key, value, *scheduling.mutable_time_limit()));
    return "scheduling.time_limit";
  }
  if (key == "signal_before") {
    if (!value.empty())
      YOKE_RETURN_IF_ERROR(SetDuration(key, value, *scheduling.mutable_signal_before()));
    return "scheduling.signal_before";
  }
  if (key == "after" || key == "after_not_ok" || key == "after_any") {
    const Dependency::Condition condition = key == "after"          ? Dependency::OK
                                            : key == "after_not_ok" ? Dependency::NOT_OK
                                                                    : Dependency::ANY;
    AddDependencies(value, condition, scheduling);
    return "scheduling.dependencies";
  }
  const std::string nearest =
      Nearest(key, {"name", "priority", "queue", "preemptible", "time_limit", "signal_before",
                    "after", "after_not_ok", "after_any", "parallel", "share_memory"});
  return absl::InvalidArgumentError(
      absl::StrCat("'", key, "' of a job cannot be changed",
                   nearest.empty() ? "" : absl::StrCat("; did you mean '", nearest, "'?"),
                   ". What can: ", kKeysHelp));
}

// Words with "=" are settings, the others ids.
absl::Status Read(const std::vector<std::string>& words, std::vector<std::string>& ids,
                  v1::UpdateJobRequest& request) {
  for (const std::string& word : words) {
    const std::vector<std::string> parts = absl::StrSplit(word, absl::MaxSplits('=', 1));
    if (parts.size() == 1) {
      ids.push_back(word);
      continue;
    }
    YOKE_ASSIGN_OR_RETURN(const std::string path,
                          SetKey(parts[0], parts[1], *request.mutable_job()));
    const auto& paths = request.update_mask().paths();
    if (std::find(paths.begin(), paths.end(), path) == paths.end())
      request.mutable_update_mask()->add_paths(path);
  }
  if (ids.empty())
    return absl::InvalidArgumentError("no job is named: yoke job update ID... key=value...");
  if (request.update_mask().paths().empty())
    return absl::InvalidArgumentError(
        absl::StrCat("nothing to change is named; write ", kKeysHelp));
  return absl::OkStatus();
}

int Update(Shell& shell, const std::vector<std::string>& words) {
  std::vector<std::string> ids;
  v1::UpdateJobRequest request;
  if (const absl::Status read = Read(words, ids, request); !read.ok()) return shell.Fail(read);
  const std::string said =
      absl::StrCat("is changed: ", absl::StrJoin(request.update_mask().paths(), ", "));
  const auto change = [&](client::Client& client, const std::string& id) {
    request.mutable_job()->set_name(client::JobName(id));
    return client.UpdateJob(request);
  };
  return ChangeJobs(shell, ids, change, [&](const v1::Job&) { return said; });
}

}  // namespace

void AddJobUpdate(CLI::App& job, Shell& shell) {
  CLI::App* command = job.add_subcommand("update", "Change what can still be changed of jobs");
  shell.AddOptions(*command);
  auto words = std::make_shared<std::vector<std::string>>();
  command->add_option("words", *words, absl::StrCat("Ids, and settings: ", kKeysHelp))
      ->required()
      ->type_name("ID|key=value");
  command->callback(Guarded(shell, [&shell, words] { return Update(shell, *words); }));
}

}  // namespace yoke::cli
