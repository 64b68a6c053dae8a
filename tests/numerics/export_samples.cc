// Exports models and writes what our own network and suppression make of the same numbers, for
// exported_test.py to compare with other programs.
//   yoke-export-samples random OUT SCALE CLASSES OPSET   random weights and images
//   yoke-export-samples given OUT WEIGHTS HEIGHT WIDTH   these weights, the images of OUT/images
//   yoke-export-samples suppress OUT                     answers OUT/requests.json
// OUT gets the exported files, float32 tensors as raw files and cases.json, which says what belongs
// together: a tensor is {"file": name, "shape": [..]}.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "nlohmann/json.hpp"
#include "server/engine/checkpoint/weights.h"
#include "server/engine/eval/nms.h"
#include "server/engine/export/export.h"
#include "server/engine/model/blocks.h"

namespace yoke::engine {
namespace {

using nlohmann::json;

void Check(const absl::Status& status) { YOKE_CHECK_MSG(status.ok(), status.ToString()); }

at::Tensor ReadFloats(const std::string& path, const std::vector<int64_t>& shape) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(file), {});
  return at::from_blob(bytes.data(), {static_cast<int64_t>(bytes.size() / 4)}, at::kFloat)
      .reshape(shape)
      .clone();
}

void WriteFloats(const std::string& path, const at::Tensor& tensor) {
  const at::Tensor plain = tensor.to(at::kFloat).contiguous();
  std::ofstream(path, std::ios::binary)
      .write(static_cast<const char*>(plain.const_data_ptr()),
             static_cast<std::streamsize>(plain.nbytes()));
}

// Not plain noise, which looks the same everywhere.
at::Tensor Images(int64_t batch, int64_t height, int64_t width) {
  return at::upsample_bilinear2d(at::rand({batch, 3, height / 8, width / 8}), {height, width},
                                 /*align_corners=*/false);
}

// Weights whose predictions spread over scores and sizes, as fresh ones do not: statistics are
// those of one batch, so that signals neither fade nor explode on their way.
Weights RandomWeights(char scale, int classes) {
  auto model = *DetectionModel::Create({scale, classes}, {.running_var = 1});
  Weights weights;
  weights.spec = model->spec();
  for (int i = 0; i < classes; ++i) weights.names.push_back(absl::StrCat("it's \"", i, "\" ü\\"));
  for (auto& item : model->named_parameters()) {
    const bool is_norm = item.key().find(".bn.") != std::string::npos;
    if (is_norm && item.key().ends_with("weight")) item.value().uniform_(0.5, 1);
    if (item.key().ends_with("bias")) item.value().normal_(0, 0.5);
    // The last convolutions of the head.
    if (!is_norm && item.key().ends_with(".2.weight")) item.value().mul_(2);
    weights.state[item.key()] = item.value().detach();
  }
  model->train();
  model->Forward(Images(4, 128, 128));
  for (auto& item : model->named_buffers()) {
    // That pass moved them from 0 and 1 towards the batch's.
    at::Tensor& value = item.value();
    if (item.key().ends_with("running_mean")) value.div_(kBatchNormMomentum);
    if (item.key().ends_with("running_var"))
      value.sub_(1 - kBatchNormMomentum).div_(kBatchNormMomentum).clamp_(1e-3);
    weights.state[item.key()] = value;
  }
  return weights;
}

class Samples {
 public:
  Samples(std::string out, std::string weights) : out_(std::move(out)), path_(std::move(weights)) {
    const absl::StatusOr<Weights> read = ReadWeights(path_);
    Check(read.status());
    weights_ = *read;
    model_ = *DetectionModel::Create(weights_.spec);
    YOKE_CHECK(Transfer(weights_, *model_).skipped.empty());
    model_->eval();
  }
  ~Samples() {
    std::ofstream(At("cases.json")) << json{{"cases", cases_}, {"names", weights_.names}};
  }

  void Export(const std::string& name, const ExportConfig& asked) {
    ExportConfig config = asked;
    config.model = path_;
    config.out = At(name);
    Observer silent;
    Check(RunExport(config, silent).status());
  }

  // A case for each of these images. Without suppression: what the exported file has to answer.
  void Onnx(const std::string& name, const ExportConfig& config,
            const std::vector<at::Tensor>& images) {
    Export(name, config);
    for (const at::Tensor& batch : images) {
      json one = {{"model", name}, {"images", Put(batch)}};
      if (config.nms) {
        one["suppression"] = {{"conf", config.conf},
                              {"iou", config.iou},
                              {"max_det", config.max_det},
                              {"agnostic", config.agnostic_nms}};
      } else {
        one["want"] = Put(model_->Predict(batch));
      }
      cases_.push_back(std::move(one));
    }
  }

  // Every tensor that a file of weights has to hold, one after the other.
  void State() {
    std::vector<at::Tensor> values;
    json tensors = json::array();
    for (const auto& [name, tensor] : weights_.state) {
      values.push_back(tensor.to(at::kFloat).flatten());
      tensors.push_back({{"name", name}, {"shape", tensor.sizes().vec()}});
    }
    std::ofstream(At("state.json")) << json{{"tensors", tensors}, {"values", Put(at::cat(values))}};
  }

 private:
  std::string At(const std::string& name) const { return out_ + "/" + name; }
  json Put(const at::Tensor& tensor) {
    const std::string name = absl::StrCat("tensor", count_++);
    WriteFloats(At(name), tensor);
    return {{"file", name}, {"shape", tensor.sizes().vec()}};
  }

  const std::string out_, path_;
  Weights weights_;
  std::shared_ptr<DetectionModel> model_;
  std::vector<json> cases_;
  int count_ = 0;
};

void Random(const std::string& out, char scale, int classes, int opset) {
  at::manual_seed(static_cast<uint64_t>(scale) * 1000 + static_cast<uint64_t>(classes));
  const std::string path = out + "/random.pt";
  Check(WriteWeights(path, RandomWeights(scale, classes)));
  Samples samples(out, path);
  samples.State();
  samples.Export("plain.safetensors", {.format = "safetensors"});
  samples.Export("half.safetensors", {.format = "safetensors", .half = true});
  samples.Onnx("fixed.onnx", {.imgsz = 64, .batch = 2, .opset = opset}, {Images(2, 64, 64)});
  samples.Onnx("dynamic.onnx", {.dynamic = true, .opset = opset},
               {Images(1, 64, 96), Images(3, 160, 32), Images(2, 32, 32)});
  // 189 anchor points: more than max_det, and fewer.
  ExportConfig nms = {.imgsz = 96, .batch = 2, .nms = true, .conf = 0.5, .iou = 0.85};
  nms.opset = opset;
  nms.max_det = 20;
  samples.Onnx("nms.onnx", nms, {Images(2, 96, 96)});
  nms.max_det = 300;
  nms.agnostic_nms = true;
  samples.Onnx("agnostic.onnx", nms, {Images(2, 96, 96)});
  nms.dynamic = true;
  nms.agnostic_nms = false;
  nms.max_det = 60;
  samples.Onnx("nms_dynamic.onnx", nms, {Images(1, 96, 64), Images(3, 32, 64), Images(2, 32, 32)});
  nms.conf = 1;
  samples.Onnx("nothing.onnx", nms, {Images(2, 64, 64)});
}

void Given(const std::string& out, const std::string& weights, int64_t height, int64_t width) {
  const at::Tensor images = ReadFloats(out + "/images", {-1, 3, height, width});
  Samples samples(out, weights);
  samples.Onnx("dynamic.onnx", {.dynamic = true}, {images});
  samples.Onnx("nms_dynamic.onnx", {.dynamic = true, .nms = true}, {images});
}

// Rows x1, y1, x2, y2, confidence, class of each image: (B, max_det, 6), padded with zeros.
void Suppress(const std::string& out) {
  json requests;
  std::ifstream(out + "/requests.json") >> requests;
  for (const json& request : requests) {
    const json &asked = request["suppression"], &tensor = request["predictions"];
    NmsOptions options;
    options.conf = asked["conf"];
    options.iou = asked["iou"];
    options.max_det = asked["max_det"];
    options.agnostic = asked["agnostic"];
    const auto found = NonMaxSuppression(
        ReadFloats(out + "/" + tensor["file"].get<std::string>(), tensor["shape"]), options);
    std::vector<float> rows;
    for (const std::vector<Detection>& image : found) {
      for (const Detection& d : image) {
        const float row[] = {d.x1, d.y1, d.x2, d.y2, d.confidence, static_cast<float>(d.class_id)};
        rows.insert(rows.end(), std::begin(row), std::end(row));
      }
      rows.resize(rows.size() + (static_cast<size_t>(options.max_det) - image.size()) * 6);
    }
    WriteFloats(out + "/" + request["want"].get<std::string>(), at::tensor(rows));
  }
}

}  // namespace
}  // namespace yoke::engine

int main(int argc, char** argv) {
  using namespace yoke::engine;  // NOLINT
  const at::NoGradGuard no_grad;
  at::set_num_threads(1);
  const std::string mode = argc > 2 ? argv[1] : "";
  if (mode == "random" && argc == 6) {
    Random(argv[2], argv[3][0], std::atoi(argv[4]), std::atoi(argv[5]));
  } else if (mode == "given" && argc == 6) {
    Given(argv[2], argv[3], std::atoi(argv[4]), std::atoi(argv[5]));
  } else if (mode == "suppress" && argc == 3) {
    Suppress(argv[2]);
  } else {
    std::fputs("yoke-export-samples: usage is in its source\n", stderr);
    return 2;
  }
  return 0;
}
