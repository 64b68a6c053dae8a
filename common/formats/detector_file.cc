#include "common/formats/detector_file.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/formats/printable.h"

namespace yoke::formats {
namespace {

using Kind = PickleNode::Kind;
using Entries = std::vector<std::pair<const PickleNode*, const PickleNode*>>;

// A file may refer to one module many times; these bound what that costs.
constexpr int kMaxModuleDepth = 32, kMaxModules = 20'000, kMaxMembers = 1'000'000;
constexpr size_t kMaxTensors = 100'000, kMaxMemberName = 200;
constexpr int64_t kMaxClasses = 100'000;
constexpr size_t kMaxNameBytes = 1000;

bool IsModule(const PickleNode& node) {
  return node.kind == Kind::kObject && node.state != nullptr &&
         node.state->Find("_modules") != nullptr;
}

bool HoldsTensors(const PickleNode& node) {
  return std::any_of(node.entries.begin(), node.entries.end(),
                     [](const auto& entry) { return TorchFile::IsTensor(*entry.second); });
}

// The entries of a module's _parameters, _buffers or _modules, which are dicts or OrderedDicts.
const Entries& Members(const PickleNode& module, const char* which) {
  static const Entries kNone;
  const PickleNode* members = module.state == nullptr ? nullptr : module.state->Find(which);
  return members == nullptr ? kNone : members->entries;
}

// What a file that is no YOLOv8 detector is, for people; empty if it may be one.
std::string OtherModel(const PickleNode& model) {
  const std::string& name = model.class_name();
  static constexpr std::pair<const char*, const char*> kTasks[] = {
      {"SegmentationModel", "a segmentation model (Segment head)"},
      {"PoseModel", "a pose model (Pose head)"},
      {"ClassificationModel", "a classification model (Classify head)"},
      {"OBBModel", "an oriented-box model (OBB head)"},
      {"RTDETRDetectionModel", "an RT-DETR model"},
      {"YOLOv10DetectionModel", "a YOLOv10 model"},
      {"YOLOEModel", "a YOLOE model"},
      {"WorldModel", "a YOLO-World model"}};
  for (const auto& [suffix, words] : kTasks) {
    if (absl::EndsWith(name, suffix)) return words;
  }
  if (absl::StartsWith(name, "models."))
    return absl::StrCat("a YOLOv5 or YOLOv7 model (", Printable(name), ")");
  return absl::EndsWith(name, ".DetectionModel") ? ""
                                                 : absl::StrCat("an object of ", Printable(name));
}

// Collects the tensors of a module and all below it.
class ModuleWalk {
 public:
  explicit ModuleWalk(const TorchFile& file) : file_(file) {}

  absl::Status Read(const PickleNode& module, const std::string& prefix, int depth) {
    if (depth > kMaxModuleDepth || --modules_ < 0)
      return absl::InvalidArgumentError("its modules are nested too deeply");
    for (const char* which : {"_parameters", "_buffers"}) {
      for (const auto& [name, value] : Members(module, which))
        YOKE_RETURN_IF_ERROR(Add(prefix, name->text, *value));
    }
    for (const auto& [name, child] : Members(module, "_modules")) {
      YOKE_RETURN_IF_ERROR(CheckMember(name->text));
      YOKE_RETURN_IF_ERROR(Read(*child, absl::StrCat(prefix, name->text, "."), depth + 1));
    }
    return absl::OkStatus();
  }

  absl::Status Add(const std::string& prefix, std::string_view name, const PickleNode& value) {
    YOKE_RETURN_IF_ERROR(CheckMember(name));
    if (!TorchFile::IsTensor(value)) return absl::OkStatus();
    if (state_.size() >= kMaxTensors)
      return absl::InvalidArgumentError("it holds more tensors than any detector has");
    YOKE_ASSIGN_OR_RETURN(state_[prefix + std::string(name)], file_.Tensor(value));
    return absl::OkStatus();
  }

  std::map<std::string, StoredTensor>& state() { return state_; }

 private:
  absl::Status CheckMember(std::string_view name) {
    if (name.size() > kMaxMemberName || --members_ < 0)
      return absl::InvalidArgumentError(
          "it has more in its modules, or longer names, than any detector");
    return absl::OkStatus();
  }

  const TorchFile& file_;
  int modules_ = kMaxModules, members_ = kMaxMembers;
  std::map<std::string, StoredTensor> state_;
};

// What the wrappers for several devices and for compilation put before every name.
std::string_view WithoutWrappers(std::string_view name) {
  for (const std::string_view prefix : {"module.", "_orig_mod.", "module."}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  return name;
}

// The module that a wrapper for several devices holds, or the module itself.
const PickleNode& Unwrapped(const PickleNode& module) {
  if (!absl::StartsWith(module.class_name(), "torch.nn.parallel.")) return module;
  for (const auto& [name, child] : Members(module, "_modules")) {
    if (name->text == "module" && IsModule(*child)) return *child;
  }
  return module;
}

// Where a checkpoint keeps its weights: a module, or a dict of tensors; null if it has neither.
const PickleNode* Chosen(const PickleNode& root) {
  for (const char* key : {"ema", "model", "state_dict"}) {
    const PickleNode* found = root.Find(key);
    if (found != nullptr && (IsModule(*found) || HoldsTensors(*found))) return found;
  }
  return IsModule(root) || HoldsTensors(root) ? &root : nullptr;
}

absl::Status ReadNames(const PickleNode& names, std::vector<std::string>& out) {
  const auto text = [](const PickleNode& name) {
    return name.kind == Kind::kInteger ? absl::StrCat(name.integer)
                                       : Printable(name.text, kMaxNameBytes);
  };
  if (static_cast<int64_t>(names.items.size() + names.entries.size()) > kMaxClasses)
    return absl::InvalidArgumentError(
        absl::StrCat("it has more than ", kMaxClasses, " class names"));
  for (const PickleNode* name : names.items) out.push_back(text(*name));
  for (const auto& [key, name] : names.entries) {
    int64_t id = key->integer;
    const bool is_number =
        key->kind == Kind::kInteger ||
        (key->kind == Kind::kString && absl::SimpleAtoi(Printable(key->text), &id));
    if (!is_number || id < 0 || id >= kMaxClasses)
      return absl::InvalidArgumentError("its class names are not numbered");
    if (out.size() <= static_cast<size_t>(id)) out.resize(id + 1);
    out[id] = text(*name);
  }
  return absl::OkStatus();
}

// " (yolo11n.yaml)": what the model says it was built from; empty if it does not say.
std::string Origin(const PickleNode& model) {
  const PickleNode* yaml = model.state == nullptr ? nullptr : model.state->Find("yaml");
  const PickleNode* file = yaml == nullptr ? nullptr : yaml->Find("yaml_file");
  return file == nullptr || file->text.empty()
             ? ""
             : absl::StrCat(" (", Printable(file->text.substr(file->text.rfind('/') + 1)), ")");
}

// Scale and class count follow from two shapes; the head tells YOLOv8 from its successors.
absl::StatusOr<DetectorShape> Identify(const std::map<std::string, StoredTensor>& state,
                                       const std::string& origin) {
  const auto find = [&](const char* name, size_t dimensions) -> const std::vector<int64_t>* {
    const auto found = state.find(name);
    return found == state.end() || found->second.sizes.size() != dimensions ? nullptr
                                                                            : &found->second.sizes;
  };
  const auto* first = find("model.0.conv.weight", 4);
  const auto* last = find("model.22.cv3.0.2.weight", 4);
  if (first == nullptr || last == nullptr || (*first)[1] != 3 || (*last)[0] < 1 ||
      find("model.22.dfl.conv.weight", 4) == nullptr ||
      find("model.2.m.0.cv1.conv.weight", 4) == nullptr ||
      find("model.9.cv2.conv.weight", 4) == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("it is a detection model of another family",
                                                   origin, "; Yoke reads YOLOv8 detection models"));
  }
  if (find("model.0.bn.weight", 1) == nullptr ||
      find("model.22.cv2.2.1.bn.running_var", 1) == nullptr) {
    return absl::InvalidArgumentError(
        "its BatchNorm layers are folded into the convolutions; Yoke reads weights as training "
        "saved them");
  }
  const char scale = ScaleOfFirstLayer((*first)[0]);
  if (scale == '\0' || (*last)[0] > kMaxClasses || (*last)[1] < 1 || (*last)[1] > kMaxClasses) {
    return absl::InvalidArgumentError(absl::StrCat("it is a YOLOv8 detector of an unknown scale (",
                                                   (*first)[0], " channels in its first layer, ",
                                                   (*last)[0], " classes)"));
  }
  return DetectorShape{scale, static_cast<int>((*last)[0]), static_cast<int>((*last)[1])};
}

absl::Status CheckComplete(const DetectorFile& detector) {
  for (const auto& [name, sizes] : DetectorState(detector.shape)) {
    const auto found = detector.state.find(name);
    const std::string what = absl::StrCat(
        "it is no plain yolov8", std::string(1, detector.shape.scale), " detector: ", name);
    if (found == detector.state.end()) return absl::InvalidArgumentError(what + " is missing");
    if (found->second.sizes != sizes) {
      return absl::InvalidArgumentError(absl::StrCat(what, " is of shape (",
                                                     absl::StrJoin(found->second.sizes, ", "),
                                                     "), not (", absl::StrJoin(sizes, ", "), ")"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DetectorFile> ReadDetector(const TorchFile& file) {
  const PickleNode& root = file.root();
  const PickleNode* chosen = Chosen(root);
  if (chosen == nullptr) {
    const PickleNode* model = root.Find("model");
    if (model != nullptr && !model->class_name().empty())
      return absl::InvalidArgumentError(
          absl::StrCat("it is ", OtherModel(*model), "; Yoke reads YOLOv8 detection models"));
    return absl::InvalidArgumentError("it holds no model and no weights by name");
  }
  ModuleWalk walk(file);
  std::string origin;
  const PickleNode* names = nullptr;
  if (IsModule(*chosen)) {
    const PickleNode& model = Unwrapped(*chosen);
    const std::string other = OtherModel(model);
    if (!other.empty())
      return absl::InvalidArgumentError(
          absl::StrCat("it is ", other, "; Yoke reads YOLOv8 detection models"));
    YOKE_RETURN_IF_ERROR(walk.Read(model, "", 0));
    origin = Origin(model);
    names = model.state->Find("names");
  } else {
    for (const auto& [name, value] : chosen->entries)
      YOKE_RETURN_IF_ERROR(walk.Add("", WithoutWrappers(name->text), *value));
  }
  if (names == nullptr) names = root.Find("names");

  DetectorFile detector;
  if (names != nullptr) YOKE_RETURN_IF_ERROR(ReadNames(*names, detector.names));
  YOKE_ASSIGN_OR_RETURN(detector.shape, Identify(walk.state(), origin));
  detector.state = std::move(walk.state());
  YOKE_RETURN_IF_ERROR(CheckComplete(detector));
  const auto expected = DetectorState(detector.shape);
  std::erase_if(detector.state, [&](const auto& entry) { return !expected.contains(entry.first); });
  detector.names.resize(detector.shape.class_count);
  for (size_t i = 0; i < detector.names.size(); ++i) {
    if (detector.names[i].empty()) detector.names[i] = absl::StrCat("class", i);
  }
  for (const auto& [key, value] : root.entries) {
    if (key->kind != Kind::kString) continue;
    if (value->kind == Kind::kString) detector.metadata[key->text] = Printable(value->text);
    if (value->kind == Kind::kInteger) detector.metadata[key->text] = absl::StrCat(value->integer);
  }
  return detector;
}

}  // namespace yoke::formats
