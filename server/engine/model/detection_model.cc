#include "server/engine/model/detection_model.h"

#include <algorithm>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/formats/detector_layout.h"
#include "server/engine/model/blocks.h"

namespace yoke::engine {
namespace {

class Plain : public torch::nn::Module {};

}  // namespace

char ScaleFromName(const std::string& name) {
  const size_t at = name.rfind("yolov8");
  if (at == std::string::npos || at + 6 >= name.size()) return '\0';
  const std::string rest = name.substr(at + 7);
  const bool plain = rest.empty() || rest == ".yaml" || rest == ".yml" || rest == ".pt";
  return plain && formats::FindDetectorScale(name[at + 6]) != nullptr ? name[at + 6] : '\0';
}

// Layers by index as the reference numbers them; concatenations and upsamplings have no parameters
// and no entry.
struct DetectionModel::Impl {
  ModelSpec spec;
  std::shared_ptr<ConvBlock> down0, down1, down3, down5, down7, down16, down19;
  std::shared_ptr<C2f> c2f2, c2f4, c2f6, c2f8, c2f12, c2f15, c2f18, c2f21;
  std::shared_ptr<Sppf> sppf9;
  std::shared_ptr<Detect> head;
  std::vector<std::shared_ptr<torch::nn::Module>>
      layers;  // 23; null where there is nothing to train
  std::vector<std::shared_ptr<torch::nn::Module>> still;  // layers whose statistics are frozen
};

DetectionModel::DetectionModel(const ModelSpec& spec, const FreshModel& fresh_model)
    : impl_(std::make_shared<Impl>()) {
  Impl& d = *impl_;
  d.spec = spec;
  const formats::DetectorScale& scale = *formats::FindDetectorScale(spec.scale);
  // The older reference measured strides by a training-mode pass over zeros, which left its trace
  // in the statistics.
  const FreshStatistics fresh{fresh_model.running_var, fresh_model.running_var == 1 ? 0 : 1};
  const auto width = [&](int channels) { return scale.Channels(channels); };

  auto list = register_module("model", std::make_shared<Plain>());
  d.layers.resize(23);
  const auto add = [&](int index, auto module) {
    d.layers[index] = module;
    return list->register_module(std::to_string(index), module);
  };
  const auto conv = [&](int index, int in, int out) {
    return add(index, std::make_shared<ConvBlock>(in, width(out), 3, 2, fresh.running_var,
                                                  fresh.batches_tracked));
  };
  const auto c2f = [&](int index, int in, int out, int repeats, bool shortcut) {
    return add(index,
               std::make_shared<C2f>(in, width(out), scale.Repeats(repeats), shortcut, fresh));
  };
  const int w64 = width(64), w128 = width(128), w256 = width(256), w512 = width(512),
            w1024 = width(1024);
  d.down0 = conv(0, 3, 64);
  d.down1 = conv(1, w64, 128);
  d.c2f2 = c2f(2, w128, 128, 3, true);
  d.down3 = conv(3, w128, 256);
  d.c2f4 = c2f(4, w256, 256, 6, true);
  d.down5 = conv(5, w256, 512);
  d.c2f6 = c2f(6, w512, 512, 6, true);
  d.down7 = conv(7, w512, 1024);
  d.c2f8 = c2f(8, w1024, 1024, 3, true);
  d.sppf9 = add(9, std::make_shared<Sppf>(w1024, w1024, fresh));
  d.c2f12 = c2f(12, w1024 + w512, 512, 3, false);
  d.c2f15 = c2f(15, w512 + w256, 256, 3, false);
  d.down16 = conv(16, w256, 256);
  d.c2f18 = c2f(18, w256 + w512, 512, 3, false);
  d.down19 = conv(19, w512, 512);
  d.c2f21 = c2f(21, w512 + w1024, 1024, 3, false);
  if (spec.class_width == 0) d.spec.class_width = std::max(w256, std::min(spec.class_count, 100));
  d.head = add(22, std::make_shared<Detect>(std::vector<int>{w256, w512, w1024}, spec.class_count,
                                            d.spec.class_width, fresh_model.box_bias, fresh));
}

absl::StatusOr<std::shared_ptr<DetectionModel>> DetectionModel::Create(const ModelSpec& spec,
                                                                       const FreshModel& fresh) {
  if (formats::FindDetectorScale(spec.scale) == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("YOLOv8 has the scales n, s, m, l and x, not '",
                                                   std::string(1, spec.scale), "'"));
  }
  if (spec.class_count < 1 || spec.class_count > 100000) {
    return absl::InvalidArgumentError(
        absl::StrCat("a detector needs between 1 and 100000 classes, not ", spec.class_count));
  }
  if (spec.class_width < 0 || spec.class_width > 100000) {
    return absl::InvalidArgumentError(
        absl::StrCat("a class branch has between 1 and 100000 channels, not ", spec.class_width));
  }
  return std::shared_ptr<DetectionModel>(new DetectionModel(spec, fresh));
}

HeadMaps DetectionModel::Forward(const at::Tensor& images_BCHW) {
  Impl& d = *impl_;
  const auto up = [](const at::Tensor& x) {
    return at::upsample_nearest2d(x, {x.size(2) * 2, x.size(3) * 2});
  };
  at::Tensor x = d.c2f2->Forward(d.down1->Forward(d.down0->Forward(images_BCHW)));
  const at::Tensor p3 = d.c2f4->Forward(d.down3->Forward(x));
  const at::Tensor p4 = d.c2f6->Forward(d.down5->Forward(p3));
  const at::Tensor p5 = d.sppf9->Forward(d.c2f8->Forward(d.down7->Forward(p4)));
  const at::Tensor n4 = d.c2f12->Forward(at::cat({up(p5), p4}, 1));
  const at::Tensor out3 = d.c2f15->Forward(at::cat({up(n4), p3}, 1));
  const at::Tensor out4 = d.c2f18->Forward(at::cat({d.down16->Forward(out3), n4}, 1));
  const at::Tensor out5 = d.c2f21->Forward(at::cat({d.down19->Forward(out4), p5}, 1));
  return d.head->Forward({out3, out4, out5});
}

at::Tensor DetectionModel::Decode(const HeadMaps& maps) const {
  const int64_t batch = maps.box[0].size(0), classes = impl_->spec.class_count;
  std::vector<at::Tensor> outputs;
  const at::Tensor bins = at::arange(kRegMax, maps.box[0].options().dtype(at::kFloat));
  for (size_t level = 0; level < maps.box.size(); ++level) {
    const int64_t h = maps.box[level].size(2), w = maps.box[level].size(3);
    // (B, 4, R, A): expectation over the bins is the distance of each side, in cells.
    const at::Tensor sides = at::einsum(
        "bsra,r->bsa",
        {maps.box[level].to(at::kFloat).reshape({batch, 4, kRegMax, h * w}).softmax(2), bins});
    const at::Tensor logits = maps.cls[level].to(at::kFloat).reshape({batch, classes, h * w});
    const at::Tensor centre_x = at::arange(w, bins.options()).add_(0.5).repeat({h});
    const at::Tensor centre_y = at::arange(h, bins.options()).add_(0.5).repeat_interleave(w);
    const at::Tensor left = centre_x - sides.select(1, 0), top = centre_y - sides.select(1, 1);
    const at::Tensor right = centre_x + sides.select(1, 2), bottom = centre_y + sides.select(1, 3);
    const at::Tensor boxes =
        at::stack({(left + right) / 2, (top + bottom) / 2, right - left, bottom - top}, 1) *
        kLevelStrides[level];
    outputs.push_back(at::cat({boxes, logits.sigmoid()}, 1));
  }
  return at::cat(outputs, 2);
}

at::Tensor DetectionModel::Predict(const at::Tensor& images_BCHW) {
  return Decode(Forward(images_BCHW));
}

void DetectionModel::Fuse() {
  for (const auto& module : modules()) {
    if (auto block = std::dynamic_pointer_cast<ConvBlock>(module)) block->Fold();
  }
}

const ModelSpec& DetectionModel::spec() const { return impl_->spec; }

int DetectionModel::layer_count() const { return static_cast<int>(impl_->layers.size()); }

void DetectionModel::FreezeLayers(const std::vector<int>& layers, bool statistics) {
  for (const int i : layers) {
    if (i < 0 || i >= layer_count() || impl_->layers[i] == nullptr) continue;
    for (at::Tensor& parameter : impl_->layers[i]->parameters()) parameter.requires_grad_(false);
    if (statistics) impl_->still.push_back(impl_->layers[i]);
  }
  impl_->head->dfl->weight.requires_grad_(false);
}

void DetectionModel::SynchronizeStatistics(StatisticsExchange* exchange) {
  for (const auto& module : modules()) {
    if (auto block = std::dynamic_pointer_cast<ConvBlock>(module)) block->exchange = exchange;
  }
}

void DetectionModel::train(bool on) {
  torch::nn::Module::train(on);
  for (const auto& layer : impl_->still) layer->train(false);
}

}  // namespace yoke::engine
