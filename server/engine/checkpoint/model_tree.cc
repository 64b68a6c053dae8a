#include "server/engine/checkpoint/model_tree.h"

#include <optional>

#include "absl/strings/str_cat.h"

namespace yoke::engine {
namespace {

using Entries = TorchValue::Entries;
using Children = std::vector<std::pair<std::string, TorchValue>>;

constexpr char kConv[] = "ultralytics.nn.modules.conv.Conv";
constexpr char kConcat[] = "ultralytics.nn.modules.conv.Concat";
constexpr char kC2f[] = "ultralytics.nn.modules.block.C2f";
constexpr char kBottleneck[] = "ultralytics.nn.modules.block.Bottleneck";
constexpr char kSppf[] = "ultralytics.nn.modules.block.SPPF";
constexpr char kDfl[] = "ultralytics.nn.modules.block.DFL";
constexpr char kDetect[] = "ultralytics.nn.modules.head.Detect";
constexpr char kUpsample[] = "torch.nn.modules.upsampling.Upsample";
constexpr int kLevels = 3, kBins = 16;

// What half precision cannot hold becomes its largest number, not infinite.
at::Tensor Half(const at::Tensor& tensor) {
  constexpr double kHalfMax = 65504;
  return tensor.clamp(-kHalfMax, kHalfMax).to(at::kHalf);
}

TorchValue Pair(int value) { return TorchValue::Tuple({value, value}); }

// One row of the network: where a layer reads from, and what it is. `width`: unscaled channels.
struct Row {
  std::vector<int> from;
  int repeats;
  const char* type;
  const char* yaml_name;
  int width;
};
const std::vector<Row>& Rows() {
  static const std::vector<Row> rows = {{{-1}, 1, kConv, "Conv", 64},
                                        {{-1}, 1, kConv, "Conv", 128},
                                        {{-1}, 3, kC2f, "C2f", 128},
                                        {{-1}, 1, kConv, "Conv", 256},
                                        {{-1}, 6, kC2f, "C2f", 256},
                                        {{-1}, 1, kConv, "Conv", 512},
                                        {{-1}, 6, kC2f, "C2f", 512},
                                        {{-1}, 1, kConv, "Conv", 1024},
                                        {{-1}, 3, kC2f, "C2f", 1024},
                                        {{-1}, 1, kSppf, "SPPF", 1024},
                                        {{-1}, 1, kUpsample, "nn.Upsample", 0},
                                        {{-1, 6}, 1, kConcat, "Concat", 0},
                                        {{-1}, 3, kC2f, "C2f", 512},
                                        {{-1}, 1, kUpsample, "nn.Upsample", 0},
                                        {{-1, 4}, 1, kConcat, "Concat", 0},
                                        {{-1}, 3, kC2f, "C2f", 256},
                                        {{-1}, 1, kConv, "Conv", 256},
                                        {{-1, 12}, 1, kConcat, "Concat", 0},
                                        {{-1}, 3, kC2f, "C2f", 512},
                                        {{-1}, 1, kConv, "Conv", 512},
                                        {{-1, 9}, 1, kConcat, "Concat", 0},
                                        {{-1}, 3, kC2f, "C2f", 1024},
                                        {{15, 18, 21}, 1, kDetect, "Detect", 0}};
  return rows;
}
constexpr size_t kBackboneRows = 10;

// -1, or a list of layers.
TorchValue From(const Row& row) {
  if (row.from.size() == 1) return row.from[0];
  return TorchValue::List(std::vector<TorchValue>(row.from.begin(), row.from.end()));
}

// The arguments that the description gives a layer.
TorchValue Arguments(size_t index, const Row& row) {
  const std::string type = row.yaml_name;
  if (type == "Conv") return TorchValue::List({row.width, 3, 2});
  if (type == "SPPF") return TorchValue::List({row.width, 5});
  if (type == "nn.Upsample") return TorchValue::List({"None", 2, "nearest"});
  if (type == "Concat") return TorchValue::List({1});
  if (type == "Detect") return TorchValue::List({"nc"});
  return index < kBackboneRows ? TorchValue::List({row.width, true})
                               : TorchValue::List({row.width});
}

// Builds modules from the tensors of a state by name.
class TreeBuilder {
 public:
  explicit TreeBuilder(const Weights& weights) : weights_(weights) {}

  TorchValue Build();

 private:
  // What every torch.nn.Module pickles, then `attributes`.
  static TorchValue Module(const std::string& class_name, Entries parameters, Entries buffers,
                           const Children& children, const Entries& attributes);
  static TorchValue Container(const std::string& class_name, const Children& children) {
    return Module(class_name, {}, {}, children, {});
  }
  static TorchValue ModuleList(const Children& children) {
    return Container("torch.nn.modules.container.ModuleList", children);
  }

  const at::Tensor& Find(const std::string& name) const { return weights_.state.at(name); }
  bool Has(const std::string& name) const { return weights_.state.contains(name); }
  TorchValue Parameter(const std::string& name) const {
    return TorchValue::Parameter(Half(Find(name)));
  }

  TorchValue Conv2d(const std::string& prefix, int stride) const;
  TorchValue BatchNorm(const std::string& prefix) const;
  TorchValue ConvBlock(const std::string& prefix, int stride, const Entries& wiring) const;
  TorchValue Bottleneck(const std::string& prefix, bool shortcut) const;
  TorchValue C2f(const std::string& prefix, bool shortcut, const Entries& wiring) const;
  TorchValue Sppf(const std::string& prefix, const Entries& wiring) const;
  TorchValue Branches(const std::string& prefix) const;
  TorchValue Detect(const std::string& prefix, Entries wiring) const;
  TorchValue Layer(size_t index) const;
  TorchValue Description() const;
  TorchValue Names() const;

  const Weights& weights_;
};

TorchValue TreeBuilder::Module(const std::string& class_name, Entries parameters, Entries buffers,
                               const Children& children, const Entries& attributes) {
  const TorchValue none = TorchValue::OrderedDict({});
  Entries modules;
  for (const auto& [name, child] : children) modules.emplace_back(name, child);
  Entries state = {{"training", false},
                   {"_parameters", TorchValue::Dict(std::move(parameters))},
                   {"_buffers", TorchValue::Dict(std::move(buffers))},
                   {"_non_persistent_buffers_set", TorchValue::EmptySet()},
                   {"_backward_pre_hooks", none},
                   {"_backward_hooks", none},
                   {"_is_full_backward_hook", TorchValue()},
                   {"_forward_hooks", none},
                   {"_forward_hooks_with_kwargs", none},
                   {"_forward_hooks_always_called", none},
                   {"_forward_pre_hooks", none},
                   {"_forward_pre_hooks_with_kwargs", none},
                   {"_state_dict_hooks", none},
                   {"_state_dict_pre_hooks", none},
                   {"_load_state_dict_pre_hooks", none},
                   {"_load_state_dict_post_hooks", none},
                   {"_modules", TorchValue::Dict(std::move(modules))}};
  state.insert(state.end(), attributes.begin(), attributes.end());
  return TorchValue::Object(class_name, std::move(state));
}

TorchValue TreeBuilder::Conv2d(const std::string& prefix, int stride) const {
  const at::Tensor& weight = Find(prefix + "weight");
  const auto kernel = static_cast<int>(weight.size(2));
  const int padding = kernel / 2;
  const bool has_bias = Has(prefix + "bias");
  return Module("torch.nn.modules.conv.Conv2d",
                {{"weight", Parameter(prefix + "weight")},
                 {"bias", has_bias ? Parameter(prefix + "bias") : TorchValue()}},
                {}, {},
                {{"in_channels", weight.size(1)},
                 {"out_channels", weight.size(0)},
                 {"kernel_size", Pair(kernel)},
                 {"stride", Pair(stride)},
                 {"padding", Pair(padding)},
                 {"dilation", Pair(1)},
                 {"transposed", false},
                 {"output_padding", Pair(0)},
                 {"groups", 1},
                 {"padding_mode", "zeros"},
                 {"_reversed_padding_repeated_twice",
                  TorchValue::List({padding, padding, padding, padding})}});
}

TorchValue TreeBuilder::BatchNorm(const std::string& prefix) const {
  return Module("torch.nn.modules.batchnorm.BatchNorm2d",
                {{"weight", Parameter(prefix + "weight")}, {"bias", Parameter(prefix + "bias")}},
                {{"running_mean", Half(Find(prefix + "running_mean"))},
                 {"running_var", Half(Find(prefix + "running_var"))},
                 {"num_batches_tracked", Find(prefix + "num_batches_tracked")}},
                {},
                {{"num_features", Find(prefix + "weight").size(0)},
                 {"eps", 1e-3},
                 {"momentum", 0.03},
                 {"affine", true},
                 {"track_running_stats", true}});
}

TorchValue TreeBuilder::ConvBlock(const std::string& prefix, int stride,
                                  const Entries& wiring) const {
  const TorchValue activation =
      Module("torch.nn.modules.activation.SiLU", {}, {}, {}, {{"inplace", true}});
  return Module(kConv, {}, {},
                {{"conv", Conv2d(prefix + "conv.", stride)},
                 {"bn", BatchNorm(prefix + "bn.")},
                 {"act", activation}},
                wiring);
}

TorchValue TreeBuilder::Bottleneck(const std::string& prefix, bool shortcut) const {
  return Module(
      kBottleneck, {}, {},
      {{"cv1", ConvBlock(prefix + "cv1.", 1, {})}, {"cv2", ConvBlock(prefix + "cv2.", 1, {})}},
      {{"add", shortcut}});
}

TorchValue TreeBuilder::C2f(const std::string& prefix, bool shortcut, const Entries& wiring) const {
  Children bottlenecks;
  for (int i = 0; Has(absl::StrCat(prefix, "m.", i, ".cv1.conv.weight")); ++i) {
    bottlenecks.emplace_back(absl::StrCat(i),
                             Bottleneck(absl::StrCat(prefix, "m.", i, "."), shortcut));
  }
  Entries attributes = {{"c", Find(prefix + "cv1.conv.weight").size(0) / 2}};
  attributes.insert(attributes.end(), wiring.begin(), wiring.end());
  return Module(kC2f, {}, {},
                {{"cv1", ConvBlock(prefix + "cv1.", 1, {})},
                 {"cv2", ConvBlock(prefix + "cv2.", 1, {})},
                 {"m", ModuleList(bottlenecks)}},
                attributes);
}

TorchValue TreeBuilder::Sppf(const std::string& prefix, const Entries& wiring) const {
  const TorchValue pool = Module("torch.nn.modules.pooling.MaxPool2d", {}, {}, {},
                                 {{"kernel_size", 5},
                                  {"stride", 1},
                                  {"padding", 2},
                                  {"dilation", 1},
                                  {"return_indices", false},
                                  {"ceil_mode", false}});
  return Module(kSppf, {}, {},
                {{"cv1", ConvBlock(prefix + "cv1.", 1, {})},
                 {"cv2", ConvBlock(prefix + "cv2.", 1, {})},
                 {"m", pool}},
                wiring);
}

// Per level two blocks and a convolution with bias.
TorchValue TreeBuilder::Branches(const std::string& prefix) const {
  Children levels;
  for (int level = 0; level < kLevels; ++level) {
    const std::string at = absl::StrCat(prefix, level, ".");
    levels.emplace_back(absl::StrCat(level), Container("torch.nn.modules.container.Sequential",
                                                       {{"0", ConvBlock(at + "0.", 1, {})},
                                                        {"1", ConvBlock(at + "1.", 1, {})},
                                                        {"2", Conv2d(at + "2.", 1)}}));
  }
  return ModuleList(levels);
}

TorchValue TreeBuilder::Detect(const std::string& prefix, Entries wiring) const {
  const int classes = weights_.spec.class_count;
  const TorchValue dfl =
      Module(kDfl, {}, {}, {{"conv", Conv2d(prefix + "dfl.conv.", 1)}}, {{"c1", kBins}});
  Entries attributes = {{"nc", classes},
                        {"nl", kLevels},
                        {"reg_max", kBins},
                        {"no", classes + 4 * kBins},
                        {"stride", at::tensor({8.0f, 16.0f, 32.0f}).to(at::kHalf)},
                        {"inplace", true},
                        {"anchors", at::empty({0}, at::kHalf)},
                        {"strides", at::empty({0}, at::kHalf)},
                        {"shape", TorchValue()}};
  attributes.insert(attributes.end(), wiring.begin(), wiring.end());
  return Module(
      kDetect, {}, {},
      {{"cv2", Branches(prefix + "cv2.")}, {"cv3", Branches(prefix + "cv3.")}, {"dfl", dfl}},
      attributes);
}

TorchValue TreeBuilder::Layer(size_t index) const {
  const Row& row = Rows()[index];
  const std::string prefix = absl::StrCat("model.", index, ".");
  int64_t parameters = 0;
  for (const auto& [name, tensor] : weights_.state) {
    const bool is_parameter = name.ends_with("weight") || name.ends_with("bias");
    if (is_parameter && name.starts_with(prefix)) parameters += tensor.numel();
  }
  const Entries wiring = {
      {"i", static_cast<int>(index)}, {"f", From(row)}, {"type", row.type}, {"np", parameters}};
  const std::string type = row.type;
  if (type == kConv) return ConvBlock(prefix, 2, wiring);
  if (type == kC2f) return C2f(prefix, index < kBackboneRows, wiring);
  if (type == kSppf) return Sppf(prefix, wiring);
  if (type == kDetect) return Detect(prefix, wiring);
  Entries attributes = {{"d", 1}};
  if (type == kUpsample) {
    attributes = {{"name", "Upsample"},
                  {"size", TorchValue()},
                  {"scale_factor", 2.0},
                  {"mode", "nearest"},
                  {"align_corners", TorchValue()},
                  {"recompute_scale_factor", TorchValue()}};
  }
  attributes.insert(attributes.end(), wiring.begin(), wiring.end());
  return Module(row.type, {}, {}, {}, attributes);
}

// The network as its configuration file describes it.
TorchValue TreeBuilder::Description() const {
  std::vector<TorchValue> backbone, head;
  for (size_t i = 0; i < Rows().size(); ++i) {
    const Row& row = Rows()[i];
    const TorchValue line =
        TorchValue::List({From(row), row.repeats, row.yaml_name, Arguments(i, row)});
    (i < kBackboneRows ? backbone : head).push_back(line);
  }
  struct Scale {
    const char* name;
    double depth, width;
    int channels;
  };
  Entries scales;
  for (const Scale& scale :
       {Scale{"n", 0.33, 0.25, 1024}, Scale{"s", 0.33, 0.50, 1024}, Scale{"m", 0.67, 0.75, 768},
        Scale{"l", 1.0, 1.0, 512}, Scale{"x", 1.0, 1.25, 512}}) {
    scales.emplace_back(scale.name, TorchValue::List({scale.depth, scale.width, scale.channels}));
  }
  const std::string name(1, weights_.spec.scale);
  return TorchValue::Dict({{"nc", weights_.spec.class_count},
                           {"scales", TorchValue::Dict(scales)},
                           {"backbone", TorchValue::List(backbone)},
                           {"head", TorchValue::List(head)},
                           {"scale", name},
                           {"yaml_file", absl::StrCat("yolov8", name, ".yaml")},
                           {"ch", 3},
                           {"channels", 3}});
}

TorchValue TreeBuilder::Names() const {
  Entries names;
  for (size_t i = 0; i < weights_.names.size(); ++i) {
    names.emplace_back(static_cast<int>(i), weights_.names[i]);
  }
  return TorchValue::Dict(names);
}

TorchValue TreeBuilder::Build() {
  Children layers;
  for (size_t i = 0; i < Rows().size(); ++i) layers.emplace_back(absl::StrCat(i), Layer(i));
  return Module("ultralytics.nn.tasks.DetectionModel", {}, {},
                {{"model", Container("torch.nn.modules.container.Sequential", layers)}},
                {{"yaml", Description()},
                 {"save", TorchValue::List({4, 6, 9, 12, 15, 18, 21})},
                 {"names", Names()},
                 {"inplace", true},
                 {"stride", at::tensor({8.0f, 16.0f, 32.0f})},
                 {"nc", weights_.spec.class_count},
                 {"task", "detect"},
                 {"args", TorchValue::Dict({{"task", "detect"}})},
                 {"criterion", TorchValue()}});
}

}  // namespace

TorchValue ModelTree(const Weights& weights) { return TreeBuilder(weights).Build(); }

}  // namespace yoke::engine
