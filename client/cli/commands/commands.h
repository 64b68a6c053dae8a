// One function per verb: adds the subcommand to `app`; when it is chosen it runs and sets shell.exit_code.
#pragma once

#include "client/cli/commands/shell.h"

namespace yoke::cli {

void AddTrain(CLI::App& app, Shell& shell);
void AddVal(CLI::App& app, Shell& shell);
void AddLabel(CLI::App& app, Shell& shell);
void AddProcess(CLI::App& app, Shell& shell);
void AddExport(CLI::App& app, Shell& shell);
void AddSubmit(CLI::App& app, Shell& shell);
void AddDevices(CLI::App& app, Shell& shell);
void AddDevice(CLI::App& app, Shell& shell);
void AddJobs(CLI::App& app, Shell& shell);
void AddJob(CLI::App& app, Shell& shell);
void AddQueue(CLI::App& app, Shell& shell);
void AddLogs(CLI::App& app, Shell& shell);
void AddMetrics(CLI::App& app, Shell& shell);
void AddBackup(CLI::App& app, Shell& shell);
void AddCheck(CLI::App& app, Shell& shell);
void AddSelftest(CLI::App& app, Shell& shell);
void AddHelp(CLI::App& app, Shell& shell);
void AddVersion(CLI::App& app, Shell& shell);
void AddCompletion(CLI::App& app, Shell& shell);
void AddComplete(CLI::App& app, Shell& shell);

// Under `yoke job`.
void AddJobShow(CLI::App& job, Shell& shell);
void AddJobCancel(CLI::App& job, Shell& shell);
void AddJobWait(CLI::App& job, Shell& shell);
void AddJobHold(CLI::App& job, Shell& shell);
void AddJobRelease(CLI::App& job, Shell& shell);
void AddJobRequeue(CLI::App& job, Shell& shell);
void AddJobPriority(CLI::App& job, Shell& shell);
void AddJobExplain(CLI::App& job, Shell& shell);

// What every command does between parsing and running: reads the shared options, then runs.
template <typename Run>
auto Guarded(Shell& shell, Run run) {
  return [&shell, run] {
    const absl::Status options = shell.ReadOptions();
    shell.exit_code = options.ok() ? run() : shell.Fail(options);
  };
}

}  // namespace yoke::cli
