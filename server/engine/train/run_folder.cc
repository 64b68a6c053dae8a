#include "server/engine/train/run_folder.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "server/engine/checkpoint/atomic_file.h"
#include "server/engine/train/epoch_columns.h"
#include "yaml-cpp/yaml.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;

absl::Status WriteText(const std::string& path, const std::string& text) {
  AtomicFile file(path);
  file.Write(text.data(), text.size());
  return file.Commit();
}

// As the reference prints numbers there.
std::string Number(double value) { return absl::StrFormat("%.6g", value); }

}  // namespace

absl::Status WriteArgs(const TrainConfig& config) {
  YAML::Emitter out;
  const auto add = [&](const char* key, const auto& value) {
    out << YAML::Key << key << YAML::Value << value;
  };
  out << YAML::BeginMap;
  add("task", "detect");
  add("mode", "train");
  add("model", config.model);
  add("data", config.data);
  add("epochs", config.epochs);
  add("patience", config.patience);
  add("batch", config.batch);
  add("imgsz", config.imgsz);
  add("save", true);
  add("save_period", config.save_period);
  add("cache", config.cache);
  add("workers", config.workers);
  add("pretrained", config.pretrained);
  add("optimizer", config.optimizer);
  add("seed", config.seed);
  add("deterministic", config.deterministic);
  add("single_cls", config.single_cls);
  add("rect", config.rect);
  add("cos_lr", config.cos_lr);
  add("close_mosaic", config.close_mosaic);
  out << YAML::Key << "resume" << YAML::Value;
  config.resume.empty() ? out << YAML::Null : out << config.resume;
  add("amp", config.amp);
  add("fraction", config.fraction);
  out << YAML::Key << "freeze" << YAML::Value;
  config.freeze_layers.empty() ? out << YAML::Null : out << YAML::Flow << config.freeze_layers;
  add("val", config.val);
  add("split", "val");
  add("iou", config.iou);
  add("max_det", config.max_det);
  add("lr0", config.lr0);
  add("lrf", config.lrf);
  add("momentum", config.momentum);
  add("weight_decay", config.weight_decay);
  add("warmup_epochs", config.warmup_epochs);
  add("warmup_momentum", config.warmup_momentum);
  add("warmup_bias_lr", config.warmup_bias_lr);
  add("box", config.box);
  add("cls", config.cls);
  add("dfl", config.dfl);
  add("nbs", config.nbs);
  const AugmentConfig& augment = config.augment;
  add("hsv_h", augment.hsv_h);
  add("hsv_s", augment.hsv_s);
  add("hsv_v", augment.hsv_v);
  add("degrees", augment.degrees);
  add("translate", augment.translate);
  add("scale", augment.scale);
  add("shear", augment.shear);
  add("perspective", augment.perspective);
  add("flipud", augment.flipud);
  add("fliplr", augment.fliplr);
  add("mosaic", augment.mosaic);
  add("mixup", augment.mixup);
  add("recipe", config.recipe_name);
  add("on_bad_label", config.on_bad_label);
  add("save_dir", config.run_dir);
  out << YAML::EndMap;
  return WriteText(config.run_dir + "/args.yaml", absl::StrCat(out.c_str(), "\n"));
}

absl::Status MakeRunFolder(const std::string& run_dir) {
  std::error_code error;
  fs::create_directories(run_dir + "/weights", error);
  if (!error) return absl::OkStatus();
  const std::string what = absl::StrCat("cannot make ", run_dir, "/weights: ", error.message());
  return error == std::errc::no_space_on_device ? absl::ResourceExhaustedError(what)
                                                : absl::PermissionDeniedError(what);
}

void ResultsFile::Continue(const std::string& from_run_dir, int epochs) {
  std::ifstream file(from_run_dir + "/results.csv");
  std::string line;
  std::getline(file, line);  // the header
  while (std::getline(file, line)) {
    int epoch = 0;
    const std::string first = line.substr(0, line.find(','));
    if (absl::SimpleAtoi(first, &epoch) && epoch >= 1 && epoch <= epochs) rows_.push_back(line);
  }
}

absl::Status ResultsFile::Append(const EpochReport& report) {
  std::string header = "epoch,time";
  std::string row = absl::StrCat(report.epoch, ",", Number(report.seconds));
  for (const auto& [name, value] : EpochColumns(report)) {
    absl::StrAppend(&header, ",", name);
    absl::StrAppend(&row, ",", Number(value));
  }
  rows_.push_back(row);
  std::string text = absl::StrCat(header, "\n");
  for (const std::string& one : rows_) absl::StrAppend(&text, one, "\n");
  return WriteText(path_, text);
}

}  // namespace yoke::engine
