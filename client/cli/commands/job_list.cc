#include "client/cli/commands/job_list.h"

#include <iostream>

namespace yoke::cli {

bool PrintJobs(const Shell& shell, const std::vector<v1::Job>& jobs) {
  if (shell.format() == Format::kName) {
    for (const v1::Job& job : jobs) std::cout << client::JobId(job.name()) << "\n";
    return true;
  }
  if (jobs.size() == 1) return PrintMessage(std::cout, shell.format(), jobs[0]);
  if (shell.format() == Format::kJsonLines) {
    for (const v1::Job& job : jobs) PrintMessage(std::cout, Format::kJsonLines, job);
    return true;
  }
  v1::ListJobsResponse list;
  for (const v1::Job& job : jobs) *list.add_jobs() = job;
  return PrintMessage(std::cout, shell.format(), list);
}

}  // namespace yoke::cli
