// What every command needs: the options that all share, the terminal, the connection, and Ctrl-C.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/output/format.h"
#include "client/cli/output/terminal.h"
#include "client/lib/client.h"
#include "client/lib/exit_code.h"
#include "common/base/mutex.h"

namespace CLI {
class App;
}

namespace yoke::cli {

// One per process, made by main before any thread.
class Shell {
 public:
  // Blocks SIGINT and SIGTERM in this and all later threads and starts the thread that waits for them: the
  // first one interrupts the client's calls, the second one ends the process with 130.
  Shell();
  Shell(const Shell&) = delete;
  Shell& operator=(const Shell&) = delete;

  // --server, -o, --json, --color.
  void AddOptions(CLI::App& command);
  // InvalidArgument when an option's word is unknown.
  absl::Status ReadOptions();

  Format format() const { return format_; }
  const Terminal& out_terminal() const { return out_; }
  const Terminal& err_terminal() const { return err_; }

  // The connection, made at the first call.
  absl::StatusOr<client::Client*> Connect();
  bool interrupted() const;

  // Talk, on stderr.
  void Say(const std::string& sentence) const;
  void Warn(const std::string& sentence) const;
  // Prints an error ("yoke: ...") and returns its exit code.
  int Fail(const absl::Status& status) const;

  // What main returns.
  int exit_code = client::kOk;

 private:
  void HandleSignals();

  std::string server_, format_word_ = "table", color_word_ = "auto";
  bool json_ = false;
  Format format_ = Format::kTable;
  Terminal out_{false, false, 80}, err_{false, false, 80};

  mutable Mutex mutex_;
  std::unique_ptr<client::Client> client_ YOKE_GUARDED_BY(mutex_);
  bool interrupted_ YOKE_GUARDED_BY(mutex_) = false;
};

}  // namespace yoke::cli
