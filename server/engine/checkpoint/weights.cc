#include "server/engine/checkpoint/weights.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/engine/checkpoint/model_tree.h"
#include "server/engine/checkpoint/torch_archive.h"

namespace yoke::engine {
namespace {

using formats::PickleNode;
using Kind = PickleNode::Kind;

// A file may refer to one module or storage many times; these bound what that costs.
constexpr int kMaxModuleDepth = 32;
constexpr int kMaxModules = 20'000;
constexpr int64_t kMaxTensorBytes = int64_t{4} << 30;

// What a file that is no YOLOv8 detector is, for people; empty if it may be one.
std::string OtherModel(const PickleNode& model) {
  const std::string& name = model.class_name();
  static constexpr std::pair<const char*, const char*> kTasks[] = {
      {"SegmentationModel", "a segmentation model (Segment head)"},
      {"PoseModel", "a pose model (Pose head)"},
      {"ClassificationModel", "a classification model (Classify head)"},
      {"OBBModel", "an oriented-box model (OBB head)"},
      {"RTDETRDetectionModel", "an RT-DETR model"},
      {"WorldModel", "a YOLO-World model"}};
  for (const auto& [suffix, words] : kTasks) {
    if (absl::EndsWith(name, suffix)) return words;
  }
  if (absl::StartsWith(name, "models."))
    return absl::StrCat("a YOLOv5 or YOLOv7 model (", name, ")");
  if (name.empty()) return "a file without a model object";
  if (!absl::EndsWith(name, ".DetectionModel")) return absl::StrCat("an object of ", name);
  return "";
}

// The entries of a module's _parameters, _buffers or _modules, which are dicts or OrderedDicts.
const std::vector<std::pair<const PickleNode*, const PickleNode*>>& Members(
    const PickleNode& module, const char* which) {
  static const std::vector<std::pair<const PickleNode*, const PickleNode*>> kNone;
  const PickleNode* members = module.state == nullptr ? nullptr : module.state->Find(which);
  return members == nullptr ? kNone : members->entries;
}

struct ReadBudget {
  int modules = kMaxModules;
  int64_t bytes = kMaxTensorBytes;
};

absl::Status ReadState(const TorchArchive& archive, const std::string& name,
                       const PickleNode& value, ReadBudget& budget, Weights& weights) {
  YOKE_ASSIGN_OR_RETURN(const at::Tensor tensor, archive.ReadTensor(value));
  budget.bytes -= tensor.nbytes();
  if (budget.bytes < 0) return absl::InvalidArgumentError("its tensors take more than 4 GiB");
  weights.state[name] = tensor.is_floating_point() ? tensor.to(at::kFloat) : tensor;
  return absl::OkStatus();
}

absl::Status ReadModule(const TorchArchive& archive, const PickleNode& module,
                        const std::string& prefix, int depth, ReadBudget& budget,
                        Weights& weights) {
  if (depth > kMaxModuleDepth || --budget.modules < 0)
    return absl::InvalidArgumentError("its modules are nested too deeply");
  for (const char* which : {"_parameters", "_buffers"}) {
    for (const auto& [name, value] : Members(module, which)) {
      if (!TorchArchive::IsTensor(*value)) continue;
      YOKE_RETURN_IF_ERROR(ReadState(archive, prefix + name->text, *value, budget, weights));
    }
  }
  for (const auto& [name, child] : Members(module, "_modules")) {
    YOKE_RETURN_IF_ERROR(ReadModule(archive, *child, absl::StrCat(prefix, name->text, "."),
                                    depth + 1, budget, weights));
  }
  return absl::OkStatus();
}

absl::Status ReadNames(const PickleNode* names, Weights& weights) {
  if (names == nullptr) return absl::OkStatus();
  if (names->kind == Kind::kList || names->kind == Kind::kTuple) {
    for (const PickleNode* name : names->items) weights.names.push_back(name->text);
    return absl::OkStatus();
  }
  for (const auto& [id, name] : names->entries) {
    if (id->kind != Kind::kInteger || id->integer < 0 || id->integer > 100000)
      return absl::InvalidArgumentError("its class names are not numbered");
    if (weights.names.size() <= static_cast<size_t>(id->integer))
      weights.names.resize(id->integer + 1);
    weights.names[id->integer] = name->text;
  }
  return absl::OkStatus();
}

// " (yolo11n.yaml)": what the checkpoint says it was built from; empty if it does not say.
std::string Origin(const PickleNode* model) {
  const PickleNode* yaml =
      model == nullptr || model->state == nullptr ? nullptr : model->state->Find("yaml");
  const PickleNode* file = yaml == nullptr ? nullptr : yaml->Find("yaml_file");
  return file == nullptr || file->text.empty()
             ? ""
             : absl::StrCat(" (", file->text.substr(file->text.rfind('/') + 1), ")");
}

// Scale and class count follow from two shapes; the head tells YOLOv8 from its successors.
absl::Status Identify(const std::string& origin, Weights& weights) {
  const auto find = [&](const char* name) {
    const auto found = weights.state.find(name);
    return found == weights.state.end() ? at::Tensor() : found->second;
  };
  const at::Tensor first = find("model.0.conv.weight"), last = find("model.22.cv3.0.2.weight");
  const bool is_v8 =
      first.defined() && last.defined() && find("model.22.dfl.conv.weight").defined() &&
      find("model.2.m.0.cv1.conv.weight").defined() && find("model.9.cv2.conv.weight").defined() &&
      first.dim() == 4 && first.size(1) == 3 && last.dim() == 4;
  if (!is_v8)
    return absl::InvalidArgumentError(absl::StrCat("it is a detection model of another family",
                                                   origin, "; Yoke reads YOLOv8 detection models"));
  if (!find("model.0.bn.weight").defined() || !find("model.22.cv2.2.1.bn.running_var").defined()) {
    return absl::InvalidArgumentError(
        "its BatchNorm layers are folded into the convolutions; Yoke reads weights as training "
        "saved them");
  }
  switch (first.size(0)) {
    case 16:
      weights.spec.scale = 'n';
      break;
    case 32:
      weights.spec.scale = 's';
      break;
    case 48:
      weights.spec.scale = 'm';
      break;
    case 64:
      weights.spec.scale = 'l';
      break;
    case 80:
      weights.spec.scale = 'x';
      break;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("it is a YOLOv8 detector of an unknown scale (", first.size(0),
                       " channels in its first layer)"));
  }
  weights.spec.class_count = static_cast<int>(last.size(0));
  for (size_t i = weights.names.size(); i < static_cast<size_t>(weights.spec.class_count); ++i)
    weights.names.push_back(absl::StrCat("class", i));
  weights.names.resize(weights.spec.class_count);
  return absl::OkStatus();
}

// The averaged weights if the checkpoint has them, else the raw ones.
const PickleNode* Chosen(const PickleNode& root) {
  const PickleNode* ema = root.Find("ema");
  return ema != nullptr && ema->kind == Kind::kObject ? ema : root.Find("model");
}

absl::Status ReadReference(const TorchArchive& archive, const PickleNode& root, Weights& weights) {
  const PickleNode* chosen = Chosen(root);
  if (chosen == nullptr) return absl::InvalidArgumentError("it holds no model");
  const std::string other = OtherModel(*chosen);
  if (!other.empty())
    return absl::InvalidArgumentError(
        absl::StrCat("it is ", other, "; Yoke reads YOLOv8 detection models"));
  ReadBudget budget;
  YOKE_RETURN_IF_ERROR(ReadModule(archive, *chosen, "", 0, budget, weights));
  return ReadNames(chosen->state == nullptr ? nullptr : chosen->state->Find("names"), weights);
}

absl::StatusOr<Weights> ReadChecked(const std::string& path) {
  YOKE_ASSIGN_OR_RETURN(const auto archive, TorchArchive::Open(path));
  const PickleNode& root = archive->root();
  Weights weights;
  absl::Status status = root.kind != Kind::kDict
                            ? absl::InvalidArgumentError("it holds no checkpoint (no dict)")
                            : ReadReference(*archive, root, weights);
  if (status.ok()) status = Identify(Origin(Chosen(root)), weights);
  if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", status.message()));
  for (const auto& [key, value] : root.entries) {
    if (key->kind != Kind::kString) continue;
    if (value->kind == Kind::kString) weights.metadata[key->text] = value->text;
    if (value->kind == Kind::kInteger) weights.metadata[key->text] = absl::StrCat(value->integer);
  }
  return weights;
}

}  // namespace

absl::StatusOr<Weights> ReadWeights(const std::string& path) {
  try {
    return ReadChecked(path);
  } catch (
      const std::exception& error) {  // sizes that LibTorch itself refuses, or no memory for them
    const std::string what = error.what();
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", what.substr(0, what.find('\n'))));
  }
}

TransferReport Transfer(const Weights& from, DetectionModel& to) {
  at::NoGradGuard no_grad;
  TransferReport report;
  const auto copy = [&](const std::string& name, at::Tensor& target) {
    ++report.total;
    const auto found = from.state.find(name);
    if (found == from.state.end() || found->second.sizes() != target.sizes()) {
      report.skipped.push_back(name);
      return;
    }
    target.copy_(found->second);
    ++report.copied;
  };
  for (auto& item : to.named_parameters()) copy(item.key(), item.value());
  for (auto& item : to.named_buffers()) copy(item.key(), item.value());
  return report;
}

absl::Status WriteWeights(const std::string& path, const Weights& weights) {
  TorchValue::Entries arguments, entries = {{"model", ModelTree(weights)}};
  // A finished training: nothing to resume from, the weights are the averaged ones already.
  for (const char* name : {"ema", "updates", "optimizer", "best_fitness"}) {
    entries.emplace_back(name, TorchValue());
  }
  entries.emplace_back("epoch", -1);
  for (const auto& [name, text] : weights.metadata) {
    int64_t integer = 0;
    const bool is_integer = absl::SimpleAtoi(text, &integer);
    const TorchValue value = is_integer ? TorchValue(integer) : TorchValue(text);
    const bool is_argument = name == "task" || name == "data" || name == "imgsz";
    (is_argument ? arguments : entries).emplace_back(name, value);
  }
  entries.emplace_back("train_args", TorchValue::Dict(std::move(arguments)));
  return WriteTorchFile(path, TorchValue::Dict(std::move(entries)));
}

}  // namespace yoke::engine
