#include "client/cli/commands/project_link.h"

#include <filesystem>

#include "absl/strings/str_cat.h"

namespace yoke::cli {

void LinkIntoProject(const Shell& shell, client::Client& client, const v1::Job& job, const std::string& project) {
  namespace fs = std::filesystem;
  constexpr int kNamesMax = 10000;
  const absl::StatusOr<bool> shared = client.SharesFiles();
  if (!shared.ok() || !*shared) {
    shell.Warn(absl::StrCat("no link in ", project, ": the server does not see this machine's files; the run folder is ", job.run_dir()));
    return;
  }
  std::error_code error;
  fs::create_directories(project, error);
  std::string name = job.display_name().empty() ? client::JobId(job.name()) : job.display_name();
  for (char& c : name) c = c == '/' ? '_' : c;
  for (int n = 1; n < kNamesMax; ++n) {
    const fs::path link = fs::path(project) / (n == 1 ? name : absl::StrCat(name, n));
    fs::create_directory_symlink(job.run_dir(), link, error);
    if (!error) {
      shell.Say(absl::StrCat("run folder: ", link.string(), " -> ", job.run_dir()));
      return;
    }
    if (error != std::errc::file_exists) break;
  }
  shell.Warn(absl::StrCat("no link in ", project, ": ", error.message(), "; the run folder is ", job.run_dir()));
}

}  // namespace yoke::cli
