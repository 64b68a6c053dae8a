#include "server/engine/train/tensorboard_file.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "server/engine/data/file_bytes.h"
#include "server/engine/plots/tensorboard/summaries.h"
#include "server/engine/train/epoch_columns.h"
#include "server/engine/train/run_folder.h"
#include "yaml-cpp/yaml.h"

namespace yoke::engine {
namespace {

// Every ninth of the curves' points: 0, 1/111 ... 1 are thresholds as TensorBoard counts them.
constexpr size_t kThresholdStep = 9, kThresholds = (kCurvePoints - 1) / kThresholdStep + 1;
static_assert((kCurvePoints - 1) % kThresholdStep == 0);

HyperParameter ParameterOf(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  const bool quoted = node.Tag() == "!";
  double number = 0;
  if (!quoted && (text == "true" || text == "false")) return text == "true";
  if (!quoted && absl::SimpleAtod(text, &number) && std::isfinite(number)) return number;
  return text;
}

// Adds the settings of a file but the empty ones and where the run lies, which is no setting; a
// list is one text.
absl::Status AddParameters(const std::string& path, HyperParameters& parameters) {
  YOKE_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kSettingsBytesMax));
  try {
    for (const auto& entry : YAML::Load(text)) {
      const std::string name = entry.first.Scalar();
      const YAML::Node& value = entry.second;
      if (name == "save_dir" || value.IsNull()) continue;
      if (value.IsScalar()) {
        parameters.emplace_back(name, ParameterOf(value));
      } else if (value.IsSequence()) {
        std::vector<std::string> items;
        for (const YAML::Node& item : value) items.push_back(item.Scalar());
        parameters.emplace_back(name, absl::StrJoin(items, ","));
      }
    }
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", error.what()));
  }
  return absl::OkStatus();
}

// Of a class among others: two of one name keep apart by their numbers.
class ClassTags {
 public:
  void Add(const std::string& name) { ++count_[name]; }
  std::string Of(const std::string& name, int class_id) const {
    if (name.empty()) return absl::StrCat("class ", class_id);
    return count_.at(name) == 1 ? name : absl::StrCat(name, " #", class_id);
  }

 private:
  std::map<std::string, int> count_;
};

template <typename Class>
ClassTags TagsOf(const std::vector<Class>& classes) {
  ClassTags tags;
  for (const Class& one : classes) tags.Add(one.name);
  return tags;
}

ThresholdCurve ThresholdCurveOf(const ClassCurve& curve, int64_t instances) {
  ThresholdCurve points;
  for (size_t k = 0; k < kThresholds; ++k) {
    const size_t at = k * kThresholdStep;
    const float precision = at < curve.precision.size() ? curve.precision[at] : 0;
    const float recall = at < curve.recall.size() ? curve.recall[at] : 0;
    const float found = std::round(recall * static_cast<float>(instances));
    points.precision.push_back(precision);
    points.recall.push_back(recall);
    points.true_positives.push_back(found);
    points.false_positives.push_back(precision > 0 ? std::round(found * (1 - precision) / precision)
                                                   : 0);
    points.false_negatives.push_back(static_cast<float>(instances) - found);
  }
  return points;
}

// Adds `one` to sums that become means over `classes`.
void AddShare(const ThresholdCurve& one, size_t classes, ThresholdCurve& all) {
  const auto add = [](const std::vector<float>& from, float share, std::vector<float>& to) {
    to.resize(kThresholds, 0);
    for (size_t i = 0; i < kThresholds; ++i) to[i] += from[i] * share;
  };
  add(one.true_positives, 1, all.true_positives);
  add(one.false_positives, 1, all.false_positives);
  add(one.false_negatives, 1, all.false_negatives);
  add(one.precision, 1 / static_cast<float>(classes), all.precision);
  add(one.recall, 1 / static_cast<float>(classes), all.recall);
}

}  // namespace

absl::Status TensorBoardFile::Begin() {
  HyperParameters parameters;
  for (const char* file : {kArgsFile, kRecipeFile})
    YOKE_RETURN_IF_ERROR(AddParameters(absl::StrCat(run_dir_, "/", file), parameters));
  std::vector<std::string> metrics;
  for (const auto& [tag, value] : EpochColumns(EpochReport())) {
    if (absl::StartsWith(tag, "metrics/") || absl::StartsWith(tag, "val/")) metrics.push_back(tag);
  }
  const GraphCategory categories[] = {
      {"losses",
       {{"box", {"(train|val)/box_loss$"}},
        {"cls", {"(train|val)/cls_loss$"}},
        {"dfl", {"(train|val)/dfl_loss$"}}}},
      {"metrics", {{"all classes", {"metrics/.*"}}}},
      {"classes", {{"AP50-95", {"AP50-95/.*"}}, {"AP50", {"AP50/.*"}}}},
      {"learning rate", {{"by parameter group", {"lr/.*"}}}}};
  return file_.Append(0, SummaryOf({ExperimentValue(parameters, metrics),
                                    SessionStartValue(parameters), LayoutValue(categories)}));
}

absl::Status TensorBoardFile::Append(const EpochReport& report) {
  std::vector<WireMessage> values;
  for (const auto& [tag, value] : EpochColumns(report)) values.push_back(ScalarValue(tag, value));
  return file_.Append(report.epoch, SummaryOf(values));
}

absl::Status TensorBoardFile::AppendClasses(int epoch, const std::vector<ClassMetrics>& classes) {
  if (classes.empty()) return absl::OkStatus();
  const ClassTags tags = TagsOf(classes);
  std::vector<WireMessage> values;
  for (size_t i = 0; i < std::min(classes.size(), kTensorBoardClassesMax); ++i) {
    const std::string tag = tags.Of(classes[i].name, classes[i].class_id);
    values.push_back(ScalarValue("AP50/" + tag, classes[i].map50));
    values.push_back(ScalarValue("AP50-95/" + tag, classes[i].map5095));
  }
  return file_.Append(epoch, SummaryOf(values));
}

absl::Status TensorBoardFile::AppendPicture(const Picture& picture) {
  return file_.Append(picture.epoch, SummaryOf({ImageValue(picture.name, picture)}));
}

absl::Status TensorBoardFile::AppendCurves(int epoch, const Curves& curves,
                                           const std::vector<ClassMetrics>& classes) {
  std::map<int, int64_t> instances;
  for (const ClassMetrics& one : classes) instances[one.class_id] = one.instances;
  const ClassTags tags = TagsOf(curves.classes);
  const auto known = static_cast<size_t>(
      std::count_if(curves.classes.begin(), curves.classes.end(),
                    [&](const ClassCurve& curve) { return instances.count(curve.class_id) > 0; }));
  ThresholdCurve all;
  std::vector<WireMessage> values;
  for (const ClassCurve& curve : curves.classes) {
    const auto found = instances.find(curve.class_id);
    if (found == instances.end()) continue;
    const ThresholdCurve points = ThresholdCurveOf(curve, found->second);
    AddShare(points, known, all);
    if (values.size() < kTensorBoardClassesMax) {
      values.push_back(ThresholdCurveValue("PR/" + tags.Of(curve.name, curve.class_id), points));
    }
  }
  if (known == 0) return absl::OkStatus();
  values.push_back(ThresholdCurveValue("PR", all));
  return file_.Append(epoch, SummaryOf(values));
}

absl::Status TensorBoardFile::End(bool succeeded) {
  return file_.Append(0, SummaryOf({SessionEndValue(succeeded)}));
}

}  // namespace yoke::engine
