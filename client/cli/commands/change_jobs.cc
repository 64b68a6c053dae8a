#include "client/cli/commands/change_jobs.h"

#include "absl/strings/str_cat.h"
#include "client/cli/commands/job_list.h"

namespace yoke::cli {

int ChangeJobs(Shell& shell, const std::vector<std::string>& ids,
               const std::function<absl::StatusOr<v1::Job>(client::Client&, const std::string& id)>& change,
               const std::function<std::string(const v1::Job&)>& said) {
  const absl::StatusOr<client::Client*> client = shell.Connect();
  if (!client.ok()) return shell.Fail(client.status());
  std::vector<v1::Job> jobs;
  absl::Status first;
  for (const std::string& id : ids) {
    absl::StatusOr<v1::Job> job = change(**client, id);
    if (job.ok()) {
      shell.Say(absl::StrCat("job ", client::JobId(job->name()), " ", said(*job)));
      jobs.push_back(*std::move(job));
    } else if (first.ok()) {
      first = job.status();
    } else {
      shell.Fail(job.status());
    }
  }
  if (!jobs.empty()) PrintJobs(shell, jobs);
  return first.ok() ? client::kOk : shell.Fail(first);
}

}  // namespace yoke::cli
