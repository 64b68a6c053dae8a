#include "server/engine/loss/detection_loss.h"

#include <algorithm>
#include <utility>

#include "ATen/Parallel.h"
#include "server/engine/kernels/vector_loops.h"
#include "server/engine/loss/cpu_loss.h"
#include "server/engine/loss/tensor_loss.h"
#include "torch/csrc/autograd/custom_function.h"

namespace yoke::engine {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

std::vector<std::vector<PixelTruth>> TruthsOf(const Targets& targets, int64_t width,
                                              int64_t height) {
  const at::Tensor classes = targets.class_BM.contiguous();
  const at::Tensor boxes = targets.boxes_xywh_BM4.contiguous();
  const int64_t* class_id = classes.data_ptr<int64_t>();
  const float* box = boxes.data_ptr<float>();
  const auto w = static_cast<float>(width), h = static_cast<float>(height);
  std::vector<std::vector<PixelTruth>> truths(static_cast<size_t>(classes.size(0)));
  for (auto& image : truths) {
    for (int64_t m = 0; m < classes.size(1); ++m, ++class_id, box += 4) {
      const float x = box[0] * w, y = box[1] * h, half_w = box[2] * w / 2, half_h = box[3] * h / 2;
      image.push_back(
          {x - half_w, y - half_h, x + half_w, y + half_h, static_cast<int>(*class_id)});
    }
  }
  return truths;
}

// The loss and, at once, its gradient: the backward pass only hands it on.
struct CpuFunction : torch::autograd::Function<CpuFunction> {
  static variable_list forward(AutogradContext* context, const LossConfig& config,
                               const Targets& targets, const Variable& box8, const Variable& box16,
                               const Variable& box32, const Variable& cls8, const Variable& cls16,
                               const Variable& cls32) {
    const bool reduced = box8.scalar_type() == at::kBFloat16 && cls8.scalar_type() == at::kBFloat16;
    variable_list maps, gradients;
    for (const Variable& map : {box8, box16, box32, cls8, cls16, cls32}) {
      maps.push_back(
          (reduced ? map : map.to(at::kFloat)).contiguous(at::MemoryFormat::ChannelsLast));
      gradients.push_back(at::empty_like(maps.back()));
    }
    const CpuLossItems items = reduced ? Run<kernels::BFloat16>(config, targets, maps, gradients)
                                       : Run<float>(config, targets, maps, gradients);
    context->save_for_backward(gradients);
    const at::Tensor parts = at::tensor({items.box, items.cls, items.dfl}, at::kFloat);
    context->mark_non_differentiable({parts});
    const auto images = static_cast<double>(box8.size(0));
    return {at::scalar_tensor((items.box + items.cls + items.dfl) * images,
                              at::TensorOptions(at::kFloat)),
            parts};
  }

  template <typename T>
  static CpuLossItems Run(const LossConfig& config, const Targets& targets,
                          const variable_list& maps, const variable_list& gradients) {
    std::array<LevelMemory<T>, 3> levels;
    for (size_t i = 0; i < 3; ++i) {
      const auto memory = [](const Variable& tensor) { return static_cast<T*>(tensor.data_ptr()); };
      levels[i] = {maps[i].size(2),         maps[i].size(3),     kLevelStrides[i],
                   memory(maps[i]),         memory(maps[i + 3]), memory(gradients[i]),
                   memory(gradients[i + 3])};
    }
    CpuLossConfig plain{config.class_count, config.box_gain,  config.cls_gain,
                        config.dfl_gain,    config.tal_floor, {}};
    if (config.class_weight_K.defined()) {
      const auto* weight = config.class_weight_K.data_ptr<float>();
      plain.class_weight.assign(weight, weight + config.class_count);
    }
    const ForEachImage for_each = [](int64_t count, const std::function<void(int64_t)>& work) {
      at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) work(i);
      });
    };
    return CpuLoss<T>(
        plain, levels,
        TruthsOf(targets, levels[0].width * kLevelStrides[0], levels[0].height * kLevelStrides[0]),
        for_each);
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    variable_list gradients = context->get_saved_variables();
    const double factor = outputs[0].item<double>();
    if (factor != 1) {
      for (Variable& gradient : gradients) gradient = gradient * factor;
    }
    gradients.insert(gradients.begin(), 2, Variable());  // config, targets
    return gradients;
  }
};

}  // namespace

Targets PadTargets(const at::Tensor& image_index_N, const at::Tensor& class_N,
                   const at::Tensor& boxes_xywh_N4, int64_t batch) {
  const at::Tensor counts = at::bincount(image_index_N, {}, batch);
  const int64_t total = image_index_N.size(0);
  const int64_t most = total == 0 ? 0 : counts.max().item<int64_t>();
  Targets targets{at::zeros({batch, most}, at::kLong), at::zeros({batch, most, 4}, at::kFloat)};
  if (total == 0) return targets;
  const at::Tensor first = counts.cumsum(0) - counts;
  const at::Tensor row = at::arange(total, at::kLong) - first.index({image_index_N});
  targets.class_BM.index_put_({image_index_N, row}, class_N);
  targets.boxes_xywh_BM4.index_put_({image_index_N, row}, boxes_xywh_N4);
  return targets;
}

DetectionLoss::DetectionLoss(LossConfig config) : config_(std::move(config)) {}

LossOutput DetectionLoss::Compute(const HeadMaps& maps, const Targets& targets) const {
  if (!maps.box[0].is_cpu()) return TensorLoss(config_, maps, targets);
  const variable_list outputs =
      CpuFunction::apply(config_, targets, maps.box[0], maps.box[1], maps.box[2], maps.cls[0],
                         maps.cls[1], maps.cls[2]);
  return {outputs[0], outputs[1]};
}

}  // namespace yoke::engine
