#include "server/engine/train/training_data.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace yoke::engine {

std::vector<std::string> ClassNames(const DataYaml& yaml, bool single_cls) {
  return single_cls ? std::vector<std::string>{"item"} : yaml.names;
}

absl::StatusOr<TrainingData> LoadTrainingData(const TrainConfig& config, Observer& observer) {
  observer.OnPhase("scan");
  TrainingData data;
  YOKE_ASSIGN_OR_RETURN(data.yaml, ReadDataYaml(config.data));
  data.names = ClassNames(data.yaml, config.single_cls);
  ScanOptions scan;
  scan.class_count = static_cast<int>(data.yaml.names.size());
  scan.single_cls = config.single_cls;
  scan.skip_bad = config.on_bad_label == "skip";
  scan.cache_dir = config.cache_dir;
  scan.threads = std::max(config.workers, 1);
  scan.warn = [&](const std::string& sentence) { observer.OnWarning(sentence); };
  scan.progress = [&](int64_t done, int64_t total) { observer.OnProgress(done, total, "images"); };
  scan.fraction = config.fraction;
  scan.fraction_random = config.recipe.fraction_random;
  scan.seed = config.seed;
  scan.polygons = true;
  YOKE_ASSIGN_OR_RETURN(data.train, ScanSplit(data.yaml.train, scan));
  if (data.yaml.val.empty()) {
    if (!config.val) return data;
    return absl::InvalidArgumentError(absl::StrCat(
        data.yaml.yaml_path, ": no 'val:' in it; name the validation images, or give val=false"));
  }
  scan.fraction = 1;
  scan.polygons = false;
  absl::StatusOr<Split> val = ScanSplit(data.yaml.val, scan);
  if (val.ok()) {
    data.val = *std::move(val);
  } else if (config.val) {
    return val.status();
  } else {
    observer.OnWarning(absl::StrCat("no validation at the end: ", val.status().message()));
  }
  return data;
}

}  // namespace yoke::engine
