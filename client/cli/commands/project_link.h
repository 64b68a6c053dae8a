// project=FOLDER: people expect their runs there, so a link to the run folder is put into it.
#pragma once

#include <string>

#include "client/cli/commands/shell.h"

namespace yoke::cli {

// Makes `project`/NAME -> run folder, NAME being the job's display name or id, with a number behind it if it is
// taken. Says what it did, or warns why not (another machine, no permission); never fails the job.
void LinkIntoProject(const Shell& shell, client::Client& client, const v1::Job& job, const std::string& project);

}  // namespace yoke::cli
