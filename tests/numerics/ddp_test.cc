// What several ranks compute together, against one process that computes the same. With the same
// images in each global batch two things differ from a single rank, both of the recipe: each rank
// normalises its criterion by its own target scores, and each rank's BatchNorm sees its own images.
// A single process that does these two by shard must get the same gradients; without one of them it
// must not.
#include <vector>

#include "ATen/Parallel.h"
#include "gtest/gtest.h"
#include "server/engine/distributed/gradient_exchange.h"
#include "server/engine/loss/detection_loss.h"
#include "server/engine/train/group_statistics.h"
#include "server/engine/train/optimizer.h"
#include "tests/numerics/golden_file.h"
#include "tests/unit/distributed/ranks.h"

namespace yoke::engine {
namespace {

constexpr int kClasses = 3, kImages = 8, kSize = 96;
// Of the gradient's norm, where every convolution has the shapes it has in one process.
constexpr double kRelative = 1e-5;
// Where a rank's convolutions see fewer images at once they sum in another order. What that makes
// of a gradient (2e-5) is measured by one process that takes the same images from last to first.
constexpr double kTimesRounding = 2;

// A network whose weights depend on the recorded generator alone.
struct Net {
  Net() : model(*DetectionModel::Create({'n', kClasses})) {
    model->FreezeLayers({}, false);
    uint32_t seed = 1;
    const at::NoGradGuard no_gradients;
    for (auto& item : model->named_parameters()) {
      if (item.value().dim() != 4 || !item.value().requires_grad()) continue;
      const double bound = 2.0 / std::sqrt(static_cast<double>(item.value()[0].numel()));
      item.value().copy_(
          (RecordedUniform(seed++, item.value().numel()).view(item.value().sizes()) - 0.5) * bound);
    }
    flat = Flatten(*model, "SGD");
    model->train();
  }

  std::shared_ptr<DetectionModel> model;
  std::unique_ptr<FlatModel> flat;
};

at::Tensor Images(bool repeated) {
  const at::Tensor all =
      RecordedUniform(77, kImages * 3 * kSize * kSize).view({kImages, 3, kSize, kSize});
  return repeated ? all.narrow(0, 0, 1).repeat({kImages, 1, 1, 1}) : all;
}

// Three boxes an image.
Targets Boxes(bool repeated) {
  at::Tensor u = RecordedUniform(78, kImages * 3 * 4).view({kImages, 3, 4});
  if (repeated) u = u.narrow(0, 0, 1).repeat({kImages, 1, 1});
  const at::Tensor size = u.narrow(2, 0, 2) * 0.4 + 0.2;
  const at::Tensor centre = size / 2 + u.narrow(2, 2, 2) * (1 - size);
  return {at::arange(3, at::kLong).repeat({kImages, 1}), at::cat({centre, size}, 2)};
}

Targets Part(const Targets& all, int64_t first, int64_t count) {
  return {all.class_BM.narrow(0, first, count), all.boxes_xywh_BM4.narrow(0, first, count)};
}

HeadMaps Part(const HeadMaps& all, int64_t first, int64_t count) {
  HeadMaps part;
  for (size_t i = 0; i < 3; ++i) {
    part.box[i] = all.box[i].narrow(0, first, count);
    part.cls[i] = all.cls[i].narrow(0, first, count);
  }
  return part;
}

struct Options {
  bool repeated = false;  // the same image everywhere
  bool sync = false;      // BatchNorm over all ranks
};

// Every rank's gradients after the exchange.
std::vector<at::Tensor> OfRanks(int ranks, const Options& options) {
  std::vector<at::Tensor> gradients(static_cast<size_t>(ranks));
  RunAsRanks(ranks, [&](Group& group) {
    at::set_num_threads(1);
    Net net;
    GroupStatistics statistics(group);
    if (options.sync) net.model->SynchronizeStatistics(&statistics);
    std::vector<GradientPlace> places;
    for (const FlatEntry& entry : net.flat->trained())
      places.push_back({entry.tensor, entry.offset});
    const auto exchange = MakeGradientExchange(net.flat->gradients(), places, group);
    ASSERT_TRUE(exchange.ok()) << exchange.status();
    const int64_t share = kImages / ranks, first = group.rank() * share;
    const HeadMaps maps = net.model->Forward(Images(options.repeated).narrow(0, first, share));
    const LossOutput loss = DetectionLoss({.class_count = kClasses})
                                .Compute(maps, Part(Boxes(options.repeated), first, share));
    (*exchange)->Arm();
    loss.total.backward();
    ASSERT_TRUE((*exchange)->Finish().ok());
    gradients[static_cast<size_t>(group.rank())] = net.flat->gradients().clone();
  });
  return gradients;
}

// One process: BatchNorm and criterion over the whole batch, or over each of `shards` parts of it.
at::Tensor OfOne(int bn_shards, int loss_shards, bool repeated, bool reversed = false) {
  at::set_num_threads(1);
  Net net;
  const DetectionLoss loss({.class_count = kClasses});
  at::Tensor all = Images(repeated);
  Targets targets = Boxes(repeated);
  if (reversed) {
    all = all.flip({0});
    targets = {targets.class_BM.flip({0}), targets.boxes_xywh_BM4.flip({0})};
  }
  for (int b = 0; b < bn_shards; ++b) {
    const int64_t images = kImages / bn_shards, begin = b * images;
    const HeadMaps maps = net.model->Forward(all.narrow(0, begin, images));
    at::Tensor total;
    for (int l = 0; l < loss_shards / bn_shards; ++l) {
      const int64_t count = kImages / loss_shards, first = l * count;
      const at::Tensor part =
          loss.Compute(Part(maps, first, count), Part(targets, begin + first, count)).total;
      total = total.defined() ? total + part : part;
    }
    total.backward();
  }
  return net.flat->gradients().clone();
}

double Difference(const at::Tensor& got, const at::Tensor& want) {
  return ((got - want).norm() / want.norm()).item<double>();
}

double Rounding(int loss_shards) {
  return Difference(OfOne(1, loss_shards, false, /*reversed=*/true), OfOne(1, loss_shards, false));
}

class Ddp : public ::testing::TestWithParam<int> {};

// Equal shards have equal statistics and equal target scores: nothing differs from a single rank.
TEST_P(Ddp, OnEqualShardsEqualsOneRank) {
  const at::Tensor want = OfOne(1, 1, /*repeated=*/true);
  const double rounding = Rounding(1);
  EXPECT_LE(rounding, 1e-4);
  for (const at::Tensor& got : OfRanks(GetParam(), {.repeated = true}))
    EXPECT_LE(Difference(got, want), kTimesRounding * rounding);
}

TEST_P(Ddp, DiffersFromOneRankByBatchNormAndTheNormaliserOnly) {
  const int ranks = GetParam();
  const at::Tensor want = OfOne(ranks, ranks, false);
  for (const at::Tensor& got : OfRanks(ranks, {})) EXPECT_LE(Difference(got, want), kRelative);
  EXPECT_GT(Difference(want, OfOne(1, 1, false)), 0.01) << "the known differences are there";
}

TEST_P(Ddp, WithSynchronisedBatchNormByTheNormaliserOnly) {
  const int ranks = GetParam();
  const at::Tensor want = OfOne(1, ranks, false);
  const double rounding = Rounding(ranks);
  EXPECT_LE(rounding, 1e-4);
  for (const at::Tensor& got : OfRanks(ranks, {.sync = true}))
    EXPECT_LE(Difference(got, want), kTimesRounding * rounding);
  std::printf(
      "%d ranks: off one rank by %.3f of the gradient's norm, with synchronised BatchNorm by "
      "%.3f\n",
      ranks, Difference(OfOne(ranks, ranks, false), OfOne(1, 1, false)),
      Difference(want, OfOne(1, 1, false)));
}

INSTANTIATE_TEST_SUITE_P(Ranks, Ddp, ::testing::Values(2, 4),
                         [](const auto& info) { return std::to_string(info.param); });

// The tensor operations that devices use, against the loops of CPUs.
TEST(SynchronisedBatchNorm, IsTheSameInTensors) {
  RunAsRanks(2, [](Group& group) {
    at::set_num_threads(1);
    GroupStatistics statistics(group);
    const auto uniform = [&](uint32_t seed, std::vector<int64_t> sizes) {
      return RecordedUniform(seed + static_cast<uint32_t>(group.rank()),
                             c10::multiply_integers(sizes))
                 .view(sizes) -
             0.4;
    };
    const at::Tensor x = uniform(10, {2, 5, 6, 7}), pattern = uniform(20, {2, 5, 6, 7});
    std::vector<std::vector<at::Tensor>> results;
    for (const auto run : {&BatchNormSilu, &BatchNormSiluInTensors}) {
      at::Tensor input = x.clone().requires_grad_(true),
                 weight = at::linspace(0.5, 1.5, 5).requires_grad_(true),
                 bias = at::linspace(-1, 1, 5).requires_grad_(true), mean = at::zeros({5}),
                 var = at::ones({5});
      const at::Tensor y = run(input, weight, bias, {mean, var, 0.03, 1e-3, &statistics});
      (y * pattern).sum().backward();
      results.push_back({y, input.grad(), weight.grad(), bias.grad(), mean, var});
    }
    for (size_t i = 0; i < results[0].size(); ++i) {
      EXPECT_TRUE(at::allclose(results[0][i], results[1][i], 1e-4, 1e-5)) << i;
    }
  });
}

}  // namespace
}  // namespace yoke::engine
