// Exports models and writes what our own network and suppression make of the same images, for
// export_test.py to compare with other programs.
//   yoke-export-samples OUT SCALE CLASSES                random weights, drawn images
//   yoke-export-samples OUT WEIGHTS IMAGES HEIGHT WIDTH  given ones; IMAGES: float32 (B, 3, H, W)
// OUT gets the exported files, raw tensors and cases.json, which says what belongs together.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "nlohmann/json.hpp"
#include "server/engine/checkpoint/weights.h"
#include "server/engine/eval/nms.h"
#include "server/engine/export/export.h"

namespace yoke::engine {
namespace {

using nlohmann::json;

void Check(const absl::Status& status) { YOKE_CHECK_MSG(status.ok(), status.ToString()); }

// Weights whose predictions spread over scores and sizes, as fresh ones do not: statistics are
// those of noise, so that signals neither fade nor explode on their way.
Weights RandomWeights(char scale, int classes) {
  auto model = *DetectionModel::Create({scale, classes});
  Weights weights;
  weights.spec = model->spec();
  for (int i = 0; i < classes; ++i) weights.names.push_back(absl::StrCat("it's \"", i, "\" ü\\"));
  for (auto& item : model->named_parameters()) {
    const bool is_norm = item.key().find(".bn.") != std::string::npos;
    if (is_norm && item.key().ends_with("weight")) item.value().uniform_(0.8, 1.6);
    if (item.key().ends_with("bias")) item.value().normal_(0, 0.5);
    // The last convolutions of the head.
    if (!is_norm && item.key().ends_with(".2.weight")) item.value().mul_(4);
  }
  model->train();
  for (int i = 0; i < 40; ++i) model->Forward(at::rand({4, 3, 64, 64}));
  for (auto& item : model->named_parameters()) weights.state[item.key()] = item.value().detach();
  for (auto& item : model->named_buffers()) weights.state[item.key()] = item.value();
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

  // One case for each of these images: what the exported file has to answer.
  void Onnx(const std::string& name, const ExportConfig& config,
            const std::vector<at::Tensor>& images) {
    Export(name, config);
    for (const at::Tensor& batch : images) {
      const at::Tensor predictions = model_->Predict(batch);
      json one = {{"model", name}, {"nms", config.nms}, {"images", Put(batch)}};
      one["want"] = Put(config.nms ? Suppressed(predictions, config) : predictions);
      cases_.push_back(std::move(one));
    }
  }

  // Every tensor that a file of weights has to hold, as float32 one after the other.
  void State() {
    std::vector<at::Tensor> values;
    json shapes = json::array();
    for (const auto& [name, tensor] : weights_.state) {
      values.push_back(tensor.to(at::kFloat).flatten());
      shapes.push_back({{"name", name}, {"shape", tensor.sizes().vec()}});
    }
    std::ofstream(At("state.json")) << json{{"tensors", shapes}, {"values", Put(at::cat(values))}};
  }

 private:
  std::string At(const std::string& name) const { return out_ + "/" + name; }

  json Put(const at::Tensor& tensor) {
    const at::Tensor plain = tensor.contiguous();
    const std::string name = absl::StrCat("tensor", count_++);
    std::ofstream(At(name), std::ios::binary)
        .write(static_cast<const char*>(plain.const_data_ptr()),
               static_cast<std::streamsize>(plain.nbytes()));
    return {{"file", name}, {"shape", plain.sizes().vec()}};
  }

  // (B, max_det, 6), padded with zeros.
  static at::Tensor Suppressed(const at::Tensor& predictions, const ExportConfig& config) {
    NmsOptions options;
    options.conf = config.conf;
    options.iou = config.iou;
    options.max_det = config.max_det;
    options.agnostic = config.agnostic_nms;
    const auto found = NonMaxSuppression(predictions, options);
    at::Tensor rows = at::zeros({static_cast<int64_t>(found.size()), config.max_det, 6});
    for (size_t image = 0; image < found.size(); ++image) {
      for (size_t i = 0; i < found[image].size(); ++i) {
        const Detection& d = found[image][i];
        rows[static_cast<int64_t>(image)][static_cast<int64_t>(i)].copy_(
            at::tensor({d.x1, d.y1, d.x2, d.y2, d.confidence, static_cast<float>(d.class_id)}));
      }
    }
    return rows;
  }

  const std::string out_, path_;
  Weights weights_;
  std::shared_ptr<DetectionModel> model_;
  std::vector<json> cases_;
  int count_ = 0;
};

at::Tensor Images(int64_t batch, int64_t height, int64_t width) {
  return at::rand({batch, 3, height, width});
}

void Random(const std::string& out, char scale, int classes) {
  at::manual_seed(scale * 1000 + classes);
  const std::string path = out + "/random.pt";
  Check(WriteWeights(path, RandomWeights(scale, classes)));
  Samples samples(out, path);
  samples.State();
  samples.Export("plain.safetensors", {.format = "safetensors"});
  samples.Export("half.safetensors", {.format = "safetensors", .half = true});
  samples.Onnx("fixed.onnx", {.imgsz = 64, .batch = 2}, {Images(2, 64, 64)});
  samples.Onnx("dynamic.onnx", {.dynamic = true},
               {Images(1, 64, 96), Images(3, 160, 32), Images(2, 32, 32)});
  // 189 anchor points: more than max_det, and fewer.
  ExportConfig nms = {
      .imgsz = 96, .batch = 2, .nms = true, .conf = 0.5, .iou = 0.85, .max_det = 20};
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

void Given(const std::string& out, const std::string& weights, const std::string& images,
           int64_t height, int64_t width) {
  std::ifstream file(images, std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(file), {});
  const at::Tensor batch =
      at::from_blob(bytes.data(), {static_cast<int64_t>(bytes.size() / 4)}, at::kFloat)
          .reshape({-1, 3, height, width});
  Samples samples(out, weights);
  samples.Onnx("dynamic.onnx", {.dynamic = true}, {batch});
  samples.Onnx("nms.onnx", {.dynamic = true, .nms = true}, {batch});
}

}  // namespace
}  // namespace yoke::engine

int main(int argc, char** argv) {
  using namespace yoke::engine;  // NOLINT
  const at::NoGradGuard no_grad;
  if (argc == 4) {
    Random(argv[1], argv[2][0], std::atoi(argv[3]));
  } else if (argc == 6) {
    Given(argv[1], argv[2], argv[3], std::atoi(argv[4]), std::atoi(argv[5]));
  } else {
    std::fputs("usage: yoke-export-samples OUT SCALE CLASSES | OUT WEIGHTS IMAGES HEIGHT WIDTH\n",
               stderr);
    return 2;
  }
  return 0;
}
