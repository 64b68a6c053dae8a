// The criterion and the loss scale never wait for their device. The meta device has shapes and no
// values: whatever needs a value on the host (item, nonzero, a copy back, a choice by data) fails
// on it.
#include "ATen/ATen.h"
#include "ATen/ExpandUtils.h"
#include "gtest/gtest.h"
#include "server/engine/loss/detection_loss.h"
#include "server/engine/train/grad_scaler.h"
#include "torch/library.h"

namespace {

// Shapes that LibTorch itself leaves to Python.
at::Tensor WhereOnMeta(const at::Tensor& condition, const at::Tensor& a, const at::Tensor& b) {
  const std::vector<int64_t> sizes =
      at::infer_size(condition.sizes(), at::infer_size(a.sizes(), b.sizes()));
  return at::empty(sizes, a.options());
}
at::Tensor& UnaryOnMeta(const at::Tensor& x, at::Tensor& out) {
  out.resize_(x.sizes());
  return out;
}

TORCH_LIBRARY_IMPL(aten, Meta, library) {
  library.impl("where.self", &WhereOnMeta);
  library.impl("abs.out", &UnaryOnMeta);
  library.impl("logical_not.out", &UnaryOnMeta);
}

}  // namespace

namespace yoke::engine {
namespace {

constexpr int kClasses = 3, kImages = 2;
const at::TensorOptions kMeta(at::kMeta);

TEST(HostSync, TheMetaDeviceRefusesWhatNeedsAValue) {
  const at::Tensor x = at::ones({3}, kMeta);
  EXPECT_ANY_THROW(x.sum().item<float>());
  EXPECT_ANY_THROW(at::nonzero(x));
  EXPECT_ANY_THROW(x.to(at::kCPU));
}

TEST(HostSync, NoneFromTheHeadsMapsToTheirGradients) {
  for (const int64_t objects : {0, 5}) {
    HeadMaps maps;
    for (size_t i = 0; i < maps.box.size(); ++i) {
      const int64_t side = 8 >> i;
      maps.box[i] = at::zeros({kImages, 64, side, side}, kMeta).requires_grad_(true);
      maps.cls[i] = at::zeros({kImages, kClasses, side, side}, kMeta).requires_grad_(true);
    }
    const Targets targets = {at::zeros({kImages, objects}, kMeta.dtype(at::kLong)),
                             at::zeros({kImages, objects, 4}, kMeta)};
    const LossOutput loss = DetectionLoss({.class_count = kClasses}).Compute(maps, targets);
    GradScaler scaler(/*enabled=*/true, at::kMeta);
    scaler.Scaled(loss.total).backward();
    for (const auto& map : maps.box) EXPECT_EQ(map.grad().sizes(), map.sizes());
    const StepScale scale = scaler.Examine(maps.box[0].grad(), 10);
    EXPECT_TRUE(scale.found_inf.is_meta());
    EXPECT_TRUE(loss.items_3.is_meta());
  }
}

}  // namespace
}  // namespace yoke::engine
