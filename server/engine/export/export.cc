#include "server/engine/export/export.h"

#include <filesystem>
#include <memory>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "c10/util/Exception.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "server/engine/checkpoint/atomic_file.h"
#include "server/engine/checkpoint/weights.h"
#include "server/engine/export/onnx_metadata.h"
#include "server/engine/export/onnx_proto.h"
#include "server/engine/export/safetensors.h"
#include "server/engine/export/yolov8_onnx.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNameBytesMax = size_t{16} << 20;  // of all classes together

// Parameters and buffers by name.
using State = std::map<std::string, at::Tensor>;

State StateOf(const DetectionModel& model) {
  State state;
  for (const auto& item : model.named_parameters()) state[item.key()] = item.value().detach();
  for (const auto& item : model.named_buffers()) state[item.key()] = item.value();
  return state;
}

// The tensor's own bytes, which live as long as the Cord needs them.
absl::Cord BytesOf(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.contiguous();
  const absl::string_view bytes(static_cast<const char*>(plain.const_data_ptr()), plain.nbytes());
  return absl::MakeCordFromExternal(bytes, [plain] {});
}

struct Loaded {
  std::shared_ptr<DetectionModel> model;
  ModelFacts facts;
};

absl::StatusOr<Loaded> Load(const std::string& path) {
  YOKE_ASSIGN_OR_RETURN(Weights weights, ReadWeights(path));
  const size_t name_bytes =
      std::accumulate(weights.names.begin(), weights.names.end(), size_t{0},
                      [](size_t sum, const std::string& name) { return sum + name.size(); });
  if (name_bytes > kNameBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": its class names take ", name_bytes, " bytes"));
  }
  Loaded loaded;
  YOKE_ASSIGN_OR_RETURN(loaded.model, ModelOf(weights, path));
  loaded.facts = {weights.spec.scale, std::move(weights.names), std::move(weights.metadata)};
  return loaded;
}

absl::StatusOr<absl::Cord> Onnx(const ExportConfig& config, const Loaded& loaded) {
  loaded.model->eval();
  loaded.model->Fuse();
  FoldedWeights weights;
  for (const auto& [name, tensor] : StateOf(*loaded.model))
    weights[name] = {name, onnx::ElementType::kFloat, tensor.sizes().vec(), BytesOf(tensor)};
  GraphOptions options;
  options.opset = config.opset;
  options.class_count = loaded.model->spec().class_count;
  options.batch = config.batch;
  options.height = options.width = config.imgsz;
  options.dynamic = config.dynamic;
  if (config.nms) {
    options.suppression = {static_cast<float>(config.conf), static_cast<float>(config.iou),
                           config.max_det, config.agnostic_nms};
  }
  onnx::Model model;
  model.opset = config.opset;
  model.producer_name = "yoke";
  model.producer_version = YOKE_VERSION;
  model.graph = Yolov8Graph(weights, options);
  model.metadata = OnnxMetadata(config, loaded.facts, absl::Now());
  return Encode(model);
}

absl::StatusOr<absl::Cord> Safetensors(const ExportConfig& config, const Loaded& loaded) {
  std::vector<SafeTensor> tensors;
  for (const auto& [name, tensor] : StateOf(*loaded.model)) {
    SafeTensor out{name, SafeTensor::Type::kInt64, tensor.sizes().vec(), {}};
    at::Tensor values = tensor;
    if (tensor.is_floating_point() && config.half) {
      out.type = SafeTensor::Type::kFloat16;
      values = tensor.to(at::kHalf);
      if (!at::equal(values.isfinite(), tensor.isfinite())) {
        return absl::InvalidArgumentError(absl::StrCat(
            config.model, ": ", name, " holds values beyond float16; export without half"));
      }
    } else if (tensor.is_floating_point()) {
      out.type = SafeTensor::Type::kFloat32;
    }
    out.data = BytesOf(values);
    tensors.push_back(std::move(out));
  }
  const nlohmann::json names(loaded.facts.names);
  std::map<std::string, std::string> metadata = {
      {"format", "pt"},
      {"task", "detect"},
      {"stride", "32"},
      {"scale", std::string(1, loaded.facts.scale)},
      {"nc", absl::StrCat(loaded.facts.names.size())},
      {"names", names.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)}};
  const auto license = loaded.facts.metadata.find("license");
  if (license != loaded.facts.metadata.end()) metadata.insert(*license);
  return EncodeSafetensors(std::move(tensors), metadata);
}

absl::Status Write(const std::string& path, const absl::Cord& bytes) {
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  if (error) {
    return absl::ErrnoToStatus(
        error.value(), absl::StrCat("cannot create ", fs::path(path).parent_path().string()));
  }
  AtomicFile file(path);
  for (const absl::string_view chunk : bytes.Chunks()) file.Write(chunk.data(), chunk.size());
  return file.Commit();
}

template <typename Number>
absl::Status CheckRange(const char* key, Number value, Number least, Number most) {
  if (least <= value && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(key, "=", value, " is out of range; it takes ", least, " to ", most));
}

absl::Status CheckTarget(const ExportConfig& config) {
  std::error_code ignored;
  const fs::file_status status = fs::status(config.out, ignored);
  if (config.out.empty() || config.out.back() == '/' || fs::is_directory(status)) {
    return absl::InvalidArgumentError(
        absl::StrCat("out: ", config.out, " is a folder; name the file to write"));
  }
  if (fs::exists(status) && !fs::is_regular_file(status))
    return absl::InvalidArgumentError(absl::StrCat("out: ", config.out, " is no regular file"));
  if (fs::equivalent(config.out, config.model, ignored)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "out: ", config.out, " is the model itself, which an export does not replace"));
  }
  return absl::OkStatus();
}

absl::StatusOr<ExportResult> Run(const ExportConfig& config, Observer& observer) {
  observer.OnPhase("load");
  YOKE_RETURN_IF_ERROR(CheckExport(config));
  at::NoGradGuard no_grad;
  YOKE_ASSIGN_OR_RETURN(const Loaded loaded, Load(config.model));
  observer.OnPhase("export");
  YOKE_ASSIGN_OR_RETURN(const absl::Cord bytes, config.format == "onnx"
                                                    ? Onnx(config, loaded)
                                                    : Safetensors(config, loaded));
  YOKE_RETURN_IF_ERROR(Write(config.out, bytes));
  observer.OnLog(absl::StrCat("wrote ", config.out, ", ", bytes.size(), " bytes"));
  return ExportResult{config.out, static_cast<int64_t>(bytes.size())};
}

}  // namespace

absl::Status CheckExport(const ExportConfig& config) {
  if (config.format != "onnx" && config.format != "safetensors") {
    return absl::InvalidArgumentError(
        absl::StrCat("format=", config.format, " is not known; it takes onnx or safetensors"));
  }
  YOKE_RETURN_IF_ERROR(CheckRange("opset", config.opset, onnx::kOpsetMin, onnx::kOpsetMax));
  YOKE_RETURN_IF_ERROR(CheckRange("imgsz", config.imgsz, 32, 8192));
  if (config.imgsz % 32 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("imgsz=", config.imgsz, " is no multiple of 32"));
  }
  YOKE_RETURN_IF_ERROR(CheckRange<int64_t>("batch", config.batch, 1, 65536));
  YOKE_RETURN_IF_ERROR(CheckRange("conf", config.conf, 0.0, 1.0));
  YOKE_RETURN_IF_ERROR(CheckRange("iou", config.iou, 0.0, 1.0));
  YOKE_RETURN_IF_ERROR(CheckRange("max_det", config.max_det, 1, 30000));
  return CheckTarget(config);
}

absl::StatusOr<ExportResult> RunExport(const ExportConfig& config, Observer& observer) {
  try {
    return Run(config, observer);
  } catch (const c10::Error& error) {
    return absl::InternalError(
        absl::StrCat("cannot export ", config.model, ": ", error.what_without_backtrace()));
  }
}

}  // namespace yoke::engine
