// A job as it goes on: its log (one line an epoch), and on a terminal one moving line below.
#pragma once

#include <ostream>
#include <string>

#include "absl/time/time.h"
#include "client/cli/output/terminal.h"
#include "common/base/mutex.h"
#include "yoke/v1/stream.pb.h"

namespace yoke::cli {

// Thread-safe: logs and events come from two streams.
class Progress {
 public:
  Progress(std::ostream& out, Terminal terminal) : out_(out), terminal_(terminal) {}
  ~Progress() { Clear(); }

  void Line(const std::string& line);
  void Event(const v1::Event& event, absl::Time now);
  // Takes the moving line away.
  void Clear();

 private:
  void Draw(const std::string& bar) YOKE_REQUIRES(mutex_);
  void Erase() YOKE_REQUIRES(mutex_);

  Mutex mutex_;
  std::ostream& out_ YOKE_GUARDED_BY(mutex_);
  const Terminal terminal_;
  std::string bar_ YOKE_GUARDED_BY(mutex_);
  absl::Time epoch_began_ YOKE_GUARDED_BY(mutex_) = absl::InfinitePast();
  double epoch_ YOKE_GUARDED_BY(mutex_) = -1;
};

double Number(const v1::Event& event, const std::string& field);
std::string Text(const v1::Event& event, const std::string& field);

// "3/100 [#####.....] 50% ..." for a step or progress event.
std::string BarLine(const v1::Event& event, absl::Duration since_epoch_began, int width);

}  // namespace yoke::cli
