#include "client/cli/commands/shell.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <iostream>
#include <thread>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"

namespace yoke::cli {
namespace {

bool IsIgnored(int signal) {
  struct sigaction action;
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

// A command that was started in the background by a script has SIGINT ignored; it stays so.
sigset_t HandledSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM}) {
    if (!IsIgnored(signal)) sigaddset(&signals, signal);
  }
  return signals;
}

}  // namespace

Shell::Shell() {
  const sigset_t signals = HandledSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // Detached: it waits until the process ends.
  std::thread([this] { HandleSignals(); }).detach();
}

void Shell::HandleSignals() {
  const sigset_t signals = HandledSignals();
  if (sigisemptyset(&signals)) return;
  int signal = 0;
  if (sigwait(&signals, &signal) != 0) return;
  {
    MutexLock lock(mutex_);
    interrupted_ = true;
    if (client_ != nullptr) client_->Interrupt();
  }
  if (sigwait(&signals, &signal) == 0) _exit(client::kInterrupted);
}

void Shell::AddOptions(CLI::App& command) {
  command.add_option("--server", server_, "The daemon: unix:///path or 127.0.0.1:PORT (default: YOKE_SERVER, else the local socket)");
  command.add_option("-o,--output", format_word_, absl::StrCat("How to print: ", absl::StrJoin(FormatWords(), ", ")));
  command.add_flag("--json", json_, "The same as -o json");
  command.add_option("--color", color_word_, "auto, always, never");
}

absl::Status Shell::ReadOptions() {
  const std::optional<Format> format = ParseFormat(json_ ? "json" : format_word_);
  if (!format.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("-o ", format_word_, ": one of ", absl::StrJoin(FormatWords(), ", "), " is wanted"));
  }
  format_ = *format;
  ColorMode mode;
  if (color_word_ == "auto") {
    mode = ColorMode::kAuto;
  } else if (color_word_ == "always") {
    mode = ColorMode::kAlways;
  } else if (color_word_ == "never") {
    mode = ColorMode::kNever;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("--color ", color_word_, ": auto, always or never is wanted"));
  }
  out_ = Terminal(STDOUT_FILENO, mode);
  err_ = Terminal(STDERR_FILENO, mode);
  return absl::OkStatus();
}

absl::StatusOr<client::Client*> Shell::Connect() {
  YOKE_ASSIGN_OR_RETURN(client::ServerAddress address, client::FindServer(server_, client::ProcessEnvironment, geteuid() == 0));
  client::ClientOptions options;
  options.server = std::move(address);
  options.notice = [this](const std::string& sentence) { Say(sentence); };
  MutexLock lock(mutex_);
  if (client_ == nullptr) {
    client_ = client::Client::Make(std::move(options));
    if (interrupted_) client_->Interrupt();
  }
  return client_.get();
}

bool Shell::interrupted() const {
  MutexLock lock(mutex_);
  return interrupted_;
}

void Shell::Say(const std::string& sentence) const { std::cerr << absl::StrCat(sentence, "\n") << std::flush; }

void Shell::Warn(const std::string& sentence) const { Say(absl::StrCat(err_.Yellow("warning: "), sentence)); }

int Shell::Fail(const absl::Status& status) const {
  if (absl::IsCancelled(status) && interrupted()) return client::kInterrupted;
  for (const absl::string_view line : absl::StrSplit(status.message(), '\n')) Say(absl::StrCat(err_.Red("yoke: "), line));
  return client::ExitCodeOf(status);
}

}  // namespace yoke::cli
