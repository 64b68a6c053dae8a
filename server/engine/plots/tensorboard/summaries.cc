#include "server/engine/plots/tensorboard/summaries.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace yoke::engine {
namespace {

// SummaryMetadata.data_class.
enum DataClass { kScalar = 1, kTensor = 2, kBlobSequence = 3 };
// DataType of a TensorProto.
enum TensorType { kFloat = 1, kString = 7 };

// Summary.Value: tag = 1, simple_value = 2, tensor = 8, metadata = 9.
// SummaryMetadata: plugin_data = 1 {plugin_name = 1, content = 2}, data_class = 4.
WireMessage ValueOf(const std::string& tag, const char* plugin, const WireMessage& content,
                    DataClass data_class) {
  WireMessage data, metadata, value;
  data.Text(1, plugin).Bytes(2, content.bytes());
  metadata.Message(1, data).Int(4, data_class);
  value.Text(1, tag).Message(9, metadata);
  return value;
}

// TensorProto: dtype = 1, tensor_shape = 2 {dim = 2 {size = 1}}, tensor_content = 4, string_val
// = 8.
WireMessage TensorOf(TensorType type, absl::Span<const int64_t> shape) {
  WireMessage tensor, sizes;
  for (const int64_t size : shape) sizes.Message(2, WireMessage().Int(1, size));
  tensor.Int(1, type).Message(2, sizes);
  return tensor;
}

WireMessage StringTensor(absl::Span<const std::string> strings, absl::Span<const int64_t> shape) {
  WireMessage tensor = TensorOf(kString, shape);
  for (const std::string& one : strings) tensor.Bytes(8, one);
  return tensor;
}

// What stands for the data of a value whose content is all in its metadata.
WireMessage NoTensor() { return TensorOf(kFloat, {0}); }

double NowSeconds() { return absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()); }

// hparams.HParamsPluginData: version = 1, then one of experiment = 2, session_start_info = 3,
// session_end_info = 4.
WireMessage HparamsValue(const char* tag, int field, const WireMessage& message) {
  const WireMessage content = WireMessage().Int(1, 0).Message(field, message);
  return ValueOf(tag, "hparams", content, kTensor).Message(8, NoTensor());
}

}  // namespace

WireMessage SummaryOf(absl::Span<const WireMessage> values) {
  WireMessage summary;
  for (const WireMessage& value : values) summary.Message(1, value);
  return summary;
}

WireMessage ScalarValue(const std::string& tag, double value) {
  return ValueOf(tag, "scalars", WireMessage(), kScalar).Float(2, static_cast<float>(value));
}

WireMessage ImageValue(const std::string& tag, const Picture& picture) {
  const std::string parts[] = {absl::StrCat(picture.width), absl::StrCat(picture.height),
                               picture.bytes};
  return ValueOf(tag, "images", WireMessage(), kBlobSequence).Message(8, StringTensor(parts, {3}));
}

WireMessage ThresholdCurveValue(const std::string& tag, const ThresholdCurve& curve) {
  const size_t count = curve.precision.size();
  const std::vector<float> true_negatives(count, 0);  // a detector has none
  std::string content;
  for (const std::vector<float>* row :
       {&curve.true_positives, &curve.false_positives, &true_negatives, &curve.false_negatives,
        &curve.precision, &curve.recall}) {
    content.append(reinterpret_cast<const char*>(row->data()), row->size() * sizeof(float));
  }
  const WireMessage tensor = TensorOf(kFloat, {6, static_cast<int64_t>(count)}).Bytes(4, content);
  // PrCurvePluginData: version = 1, num_thresholds = 2.
  const WireMessage data = WireMessage().Int(1, 0).Int(2, static_cast<int64_t>(count));
  return ValueOf(tag, "pr_curves", data, kTensor).Message(8, tensor);
}

// Experiment: time_created_secs = 3, hparam_infos = 4 {name = 1, type = 4}, metric_infos = 5 {name
// = 1 {group = 1, tag = 2}, dataset_type = 5}.
WireMessage ExperimentValue(const HyperParameters& parameters,
                            absl::Span<const std::string> metric_tags) {
  enum { kText = 1, kBool = 2, kNumber = 3 };
  constexpr int kValidation = 2;
  WireMessage experiment;
  experiment.Double(3, NowSeconds());
  for (const auto& [name, value] : parameters) {
    const int type = std::holds_alternative<bool>(value)     ? kBool
                     : std::holds_alternative<double>(value) ? kNumber
                                                             : kText;
    experiment.Message(4, WireMessage().Text(1, name).Int(4, type));
  }
  for (const std::string& tag : metric_tags) {
    const WireMessage name = WireMessage().Text(1, "").Text(2, tag);
    experiment.Message(5, WireMessage().Message(1, name).Int(5, kValidation));
  }
  return HparamsValue("_hparams_/experiment", 2, experiment);
}

// SessionStartInfo: hparams = 1 (a map of google.protobuf.Value: number_value = 2, string_value =
// 3, bool_value = 4), start_time_secs = 5.
WireMessage SessionStartValue(const HyperParameters& parameters) {
  WireMessage start;
  for (const auto& [name, parameter] : parameters) {
    WireMessage value;
    if (const bool* flag = std::get_if<bool>(&parameter)) value.Int(4, *flag ? 1 : 0);
    if (const double* number = std::get_if<double>(&parameter)) value.Double(2, *number);
    if (const std::string* text = std::get_if<std::string>(&parameter)) value.Text(3, *text);
    start.Message(1, WireMessage().Text(1, name).Message(2, value));
  }
  start.Double(5, NowSeconds());
  return HparamsValue("_hparams_/session_start_info", 3, start);
}

// SessionEndInfo: status = 1, end_time_secs = 2.
WireMessage SessionEndValue(bool succeeded) {
  enum { kSuccess = 1, kFailure = 2 };
  const WireMessage end =
      WireMessage().Int(1, succeeded ? kSuccess : kFailure).Double(2, NowSeconds());
  return HparamsValue("_hparams_/session_end_info", 4, end);
}

// Layout: category = 2 {title = 1, chart = 2 {title = 1, multiline = 2 {tag = 1}}}.
WireMessage LayoutValue(absl::Span<const GraphCategory> categories) {
  WireMessage layout;
  for (const auto& [title, graphs] : categories) {
    WireMessage category;
    category.Text(1, title);
    for (const Graph& graph : graphs) {
      WireMessage lines;
      for (const std::string& tag : graph.tags) lines.Text(1, tag);
      category.Message(2, WireMessage().Text(1, graph.title).Message(2, lines));
    }
    layout.Message(2, category);
  }
  return ValueOf("custom_scalars__config__", "custom_scalars", WireMessage(), kTensor)
      .Message(8, StringTensor({layout.bytes()}, {}));
}

}  // namespace yoke::engine
