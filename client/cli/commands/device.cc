// yoke device drain, resume: which devices are given to jobs at all.
#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"
#include "client/cli/output/text.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

struct Options {
  std::string device, reason;
};

int Show(Shell& shell, const absl::StatusOr<v1::Device>& device) {
  if (!device.ok()) return shell.Fail(device.status());
  shell.Say(absl::StrCat("device ", device->uuid(), " is ", v1::Device::State_Name(device->state()),
                         device->message().empty() ? "" : ": ", device->message(),
                         device->state() == v1::Device::DRAINED && !device->holder().empty()
                             ? absl::StrCat("; ", device->holder(), " runs on it still")
                             : ""));
  if (shell.format() == Format::kName) {
    std::cout << device->uuid() << "\n";
  } else if (!PrintMessage(std::cout, shell.format(), *device)) {
    std::cout << DeviceTable({*device}, shell.format() == Format::kWide,
                             shell.out_terminal().width());
  }
  return client::kOk;
}

CLI::App* AddVerb(CLI::App& device, Shell& shell, const char* name, const char* help,
                  Options& options) {
  CLI::App* command = device.add_subcommand(name, help);
  shell.AddOptions(*command);
  command->add_option("device", options.device, "Its index, cpu:0, or the beginning of its UUID")
      ->required()
      ->type_name("DEVICE");
  return command;
}

}  // namespace

void AddDevice(CLI::App& app, Shell& shell) {
  CLI::App* device =
      app.add_subcommand("device", "Take a device out of use, and give it out again");
  device->require_subcommand(1);
  auto options = std::make_shared<Options>();
  CLI::App* drain = AddVerb(*device, shell, "drain",
                            "Give it to no further job; one that runs on it goes on", *options);
  drain
      ->add_option("--reason", options->reason,
                   "Why; shown by `yoke devices` and to jobs that wait for it")
      ->type_name("TEXT");
  drain->callback(Guarded(shell, [&shell, options]() -> int {
    const absl::StatusOr<client::Client*> client = shell.Connect();
    return client.ok() ? Show(shell, (*client)->DrainDevice(options->device, options->reason))
                       : shell.Fail(client.status());
  }));
  AddVerb(*device, shell, "resume", "Give it out again; one that failed is taken for repaired",
          *options)
      ->callback(Guarded(shell, [&shell, options]() -> int {
        const absl::StatusOr<client::Client*> client = shell.Connect();
        return client.ok() ? Show(shell, (*client)->ResumeDevice(options->device))
                           : shell.Fail(client.status());
      }));
}

}  // namespace yoke::cli
