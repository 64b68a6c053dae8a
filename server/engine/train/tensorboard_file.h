// What TensorBoard shows of a training: the event files of its run folder.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/engine/eval/curves.h"
#include "server/engine/observer.h"
#include "server/engine/plots/picture.h"
#include "server/engine/plots/tensorboard/event_file.h"

namespace yoke::engine {

// Of so many classes, those with the lowest ids, numbers and curves are written one by one.
inline constexpr size_t kTensorBoardClassesMax = 200;

// Steps are epochs, 1-based. Every call writes one event. ResourceExhausted: disk full. Internal:
// another I/O error.
class TensorBoardFile {
 public:
  explicit TensorBoardFile(const std::string& run_dir) : run_dir_(run_dir), file_(run_dir) {}

  // HParams and the layout of Custom Scalars: what the run was started with, as its args.yaml and
  // recipe.yaml say, and which graphs show losses, metrics and classes together. Once, before the
  // first epoch. Also errors of reading those two.
  absl::Status Begin();
  // Scalars: the columns of results.csv but the time, by their names and with their numbers.
  absl::Status Append(const EpochReport& report);
  // Scalars: "AP50/NAME" and "AP50-95/NAME".
  absl::Status AppendClasses(int epoch, const std::vector<ClassMetrics>& classes);
  // Images: under the file's name.
  absl::Status AppendPicture(const Picture& picture);
  // PR Curves: "PR/NAME" at 112 thresholds, and "PR" of all classes: counts added up, precision and
  // recall the mean. `classes` says how many objects of each there are; those it lacks are left
  // out.
  absl::Status AppendCurves(int epoch, const Curves& curves,
                            const std::vector<ClassMetrics>& classes);
  // HParams: how the run ended. Not called for one that is to be continued.
  absl::Status End(bool succeeded);

 private:
  const std::string run_dir_;
  EventFile file_;
};

}  // namespace yoke::engine
