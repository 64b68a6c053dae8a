// The run folder of a training, with the reference's file names: args.yaml, results.csv,
// weights/{best,last,epochN}.pt. Every file is either whole or not there.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "server/engine/config.h"
#include "server/engine/observer.h"

namespace yoke::engine {

// Every setting that the reference has, under its names and in its order: its cfg= reads it.
inline constexpr char kArgsFile[] = "args.yaml";
// Settings that no other program knows: the recipe and each of its changes.
inline constexpr char kRecipeFile[] = "recipe.yaml";

inline constexpr size_t kSettingsBytesMax = size_t{1} << 20;  // of either: a longer one is damage

// Writes both.
absl::Status WriteArgs(const TrainConfig& config);

// "epochs is 3 there, 100 here" for each key of the two files in `folder` that `config` has another
// value for, but those the user gave and those that say where things lie. None where no file is.
std::vector<std::string> ArgsThatDiffer(const std::string& folder, const TrainConfig& config);

// Makes the run folder and its weights folder. PermissionDenied, naming the folder.
absl::Status MakeRunFolder(const std::string& run_dir);

// results.csv: one row an epoch, rewritten whole each time.
class ResultsFile {
 public:
  explicit ResultsFile(const std::string& run_dir) : path_(run_dir + "/results.csv") {}

  // Takes over the rows of epochs [1, epochs] of another run (or this one).
  void Continue(const std::string& from_run_dir, int epochs);
  absl::Status Append(const EpochReport& report);
  // By column name, a value an epoch; empty before the first Append.
  std::vector<std::pair<std::string, std::vector<double>>> Columns() const;

 private:
  const std::string path_;
  std::string header_;
  std::vector<std::string> rows_;
};

}  // namespace yoke::engine
