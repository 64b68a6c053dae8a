#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/commands/commands.h"
#include "client/cli/output/text.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

void PrintDevices(const Shell& shell, const v1::ListDevicesResponse& answer) {
  switch (shell.format()) {
    case Format::kName:
      for (const v1::Device& device : answer.devices()) std::cout << device.uuid() << "\n";
      return;
    case Format::kJsonLines:
      for (const v1::Device& device : answer.devices()) PrintMessage(std::cout, Format::kJsonLines, device);
      return;
    default:
      break;
  }
  if (PrintMessage(std::cout, shell.format(), answer)) return;
  const bool wide = shell.format() == Format::kWide;
  const int width = wide ? 1 << 20 : shell.out_terminal().width();
  std::cout << DeviceTable({answer.devices().begin(), answer.devices().end()}, wide, width) << "\n" << ChoiceTable(answer);
}

absl::Status Watch(const Shell& shell, client::Client& client) {
  return client.WatchDevices([&](const v1::WatchDevicesResponse& frame) {
    if (shell.format() == Format::kJson || shell.format() == Format::kJsonLines) {
      PrintMessage(std::cout, Format::kJsonLines, frame);
    } else if (!PrintMessage(std::cout, shell.format(), frame)) {
      const bool wide = shell.format() == Format::kWide;
      const std::string time = absl::FormatTime("%H:%M:%S", ToTime(frame.time()), absl::LocalTimeZone());
      const std::string table = DeviceTable({frame.devices().begin(), frame.devices().end()}, wide, shell.out_terminal().width());
      // Home, draw, clear below: no flicker.
      if (shell.out_terminal().is_terminal()) {
        std::cout << "\x1b[H\x1b[J" << time << "   (Ctrl-C ends)\n" << table;
      } else {
        std::cout << time << "\n" << table;
      }
    }
    std::cout << std::flush;
    return client::Next::kContinue;
  });
}

absl::Status RunDevices(Shell& shell, bool watch) {
  YOKE_ASSIGN_OR_RETURN(client::Client * client, shell.Connect());
  if (watch) return Watch(shell, *client);
  YOKE_ASSIGN_OR_RETURN(const v1::ListDevicesResponse answer, client->ListDevices());
  PrintDevices(shell, answer);
  return absl::OkStatus();
}

}  // namespace

void AddDevices(CLI::App& app, Shell& shell) {
  CLI::App* command = app.add_subcommand("devices", "GPUs and CPU slots, who holds them, and what to type for them");
  shell.AddOptions(*command);
  auto watch = std::make_shared<bool>(false);
  command->add_flag("--watch", *watch, "Go on showing them as they change");
  command->callback(Guarded(shell, [&shell, watch]() -> int {
    const absl::Status status = RunDevices(shell, *watch);
    return status.ok() ? client::kOk : shell.Fail(status);
  }));
}

}  // namespace yoke::cli
