#include "client/cli/commands/submit.h"

#include <iostream>
#include <set>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/commands/follow.h"
#include "client/cli/commands/project_link.h"
#include "client/cli/keys/key_list.h"
#include "client/cli/keys/spec_words.h"
#include "client/cli/output/text.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

// Returns the lines it said, as a rank's log has them.
std::multiset<std::string> SayPlan(const Shell& shell, const v1::Job& job) {
  std::multiset<std::string> said(job.banner().begin(), job.banner().end());
  for (const std::string& line : job.banner()) shell.Say(line);
  for (const std::string& warning : job.warnings()) {
    shell.Warn(warning);
    said.insert(absl::StrCat("warning: ", warning));
  }
  return said;
}

int PrintPlan(const Shell& shell, const v1::Job& job) {
  SayPlan(shell, job);
  if (PrintMessage(std::cout, shell.format(), job)) return client::kOk;
  // What the job would run with, as words that can be typed again.
  std::cout << ToYaml(job.spec(), Names::kAsTyped);
  shell.Say("everything fits; nothing was submitted (--dry-run)");
  return client::kOk;
}

// The end of a job that was waited for: stdout has the Job where a script asked for it.
int Conclude(Shell& shell, const v1::Job& job, bool silent) {
  const bool printed = PrintMessage(std::cout, shell.format(), job);
  std::cout << std::flush;
  if (job.state() == v1::Job::SUCCEEDED) {
    if (!silent && !printed) std::cerr << absl::StrCat("job ", client::JobId(job.name()), " succeeded\n", ResultText(job)) << std::flush;
    if (job.result().has_selftest() && !job.result().selftest().passed()) return client::kJobFailed;
  } else {
    std::cerr << FailureText(job) << std::flush;
  }
  return client::ExitCodeOf(job);
}

void SayDetached(const Shell& shell, const std::string& id) {
  shell.Say(absl::StrCat("detached; job ", id, " goes on. See it: yoke logs -f ", id, "   stop it: yoke job cancel ", id));
}

}  // namespace

std::shared_ptr<SubmitOptions> AddSubmitOptions(CLI::App& command, const std::string& task) {
  auto options = std::make_shared<SubmitOptions>();
  command.add_option("words", options->words, "Settings, each as key=value")->type_name("key=value");
  command.add_option("--name", options->name, "A label for the job");
  command.add_option("--priority", options->priority, "Higher runs first; -100 to 100")->check(CLI::Range(-100, 100));
  AddSchedulingOptions(command, options->scheduling);
  command.add_flag("--follow,-f", options->follow, "Show logs and progress, then exit as the job does");
  command.add_flag("--wait", options->wait, "Wait in silence, then exit as the job does");
  command.add_flag("--dry-run", options->dry_run, "Check everything, print what would run, submit nothing");
  command.add_flag("--no-check", options->no_check, "Submit without looking at data set and weights first");
  command.footer([task] { return absl::StrCat("\nKeys:\n", KeyTable(KeysOfEveryTask()), KeyTable(KeysOfTask(task))); });
  return options;
}

absl::StatusOr<v1::CreateJobRequest> BuildRequest(const std::string& task, const SubmitOptions& options, std::string& project) {
  YOKE_ASSIGN_OR_RETURN(SpecWords parsed, ParseSpecWords(task, options.words, ProcessPathContext()));
  v1::CreateJobRequest request;
  *request.mutable_spec() = std::move(parsed.spec);
  request.set_display_name(options.name.empty() ? parsed.display_name : options.name);
  request.set_priority(options.priority);
  YOKE_RETURN_IF_ERROR(ApplyScheduling(options.scheduling, request));
  project = parsed.project;
  return request;
}

int Submit(Shell& shell, const std::string& task, const SubmitOptions& options) {
  std::string project;
  absl::StatusOr<v1::CreateJobRequest> request = BuildRequest(task, options, project);
  if (!request.ok()) return shell.Fail(request.status());
  const absl::StatusOr<client::Client*> client = shell.Connect();
  if (!client.ok()) return shell.Fail(client.status());

  const bool checks = options.dry_run || !options.no_check;
  std::multiset<std::string> said;
  if (checks) {
    v1::CreateJobRequest check = *request;
    check.set_validate_only(true);
    const absl::StatusOr<v1::Job> plan = (*client)->CreateJob(check);
    if (!plan.ok()) return shell.Fail(plan.status());
    if (options.dry_run) return PrintPlan(shell, *plan);
    if (!options.wait) said = SayPlan(shell, *plan);
  }
  const absl::StatusOr<v1::Job> job = (*client)->CreateJob(*request);
  if (!job.ok()) return shell.Fail(job.status());
  const std::string id = client::JobId(job->name());
  if (!checks && !options.wait) said = SayPlan(shell, *job);

  // With a machine format stdout carries one message only: the finished Job where one waits for it.
  const bool ends_here = !options.follow && !options.wait;
  const bool ids = shell.format() == Format::kTable || shell.format() == Format::kWide || shell.format() == Format::kName;
  if (ids) {
    std::cout << id << "\n" << std::flush;
  } else if (ends_here) {
    PrintMessage(std::cout, shell.format(), *job);
    std::cout << std::flush;
  }
  if (!project.empty()) LinkIntoProject(shell, **client, *job, project);
  if (ends_here) {
    shell.Say(absl::StrCat("follow with: yoke logs -f ", id));
    return client::kOk;
  }
  const absl::StatusOr<v1::Job> ended =
      options.wait ? (*client)->WaitJob(id, absl::InfiniteDuration()) : FollowJob(shell, **client, id, std::move(said));
  if (!ended.ok()) {
    if (shell.interrupted()) SayDetached(shell, id);
    return shell.Fail(ended.status());
  }
  return Conclude(shell, *ended, options.wait);
}

}  // namespace yoke::cli
