// The network for inference against the network it is made from.
#include "server/engine/model/inference_net.h"

#include <vector>

#include "gtest/gtest.h"
#include "server/engine/model/lanes.h"
#include "tests/unit/kernels/plain_tiles.h"

namespace yoke::engine {
namespace {

// Fresh weights hardly let a signal through: BatchNorms that amplify make every layer count.
std::shared_ptr<DetectionModel> Model(char scale, int classes) {
  auto model = *DetectionModel::Create({scale, classes});
  const at::NoGradGuard no_gradients;
  for (auto& buffer : model->named_buffers()) {
    if (buffer.key().find("running_mean") != std::string::npos) buffer.value().uniform_(-0.2, 0.2);
    if (buffer.key().find("running_var") != std::string::npos) buffer.value().uniform_(0.05, 0.2);
  }
  for (auto& parameter : model->named_parameters()) {
    if (parameter.key().find("bn.weight") != std::string::npos)
      parameter.value().uniform_(0.5, 1.5);
    if (parameter.key().find("bn.bias") != std::string::npos) parameter.value().uniform_(-0.5, 0.5);
  }
  model->eval();
  return model;
}

HeadMaps RunAll(const InferenceNet& net, const at::Tensor& bytes_BCHW) {
  HeadMaps maps = net.MakeMaps(bytes_BCHW.size(0), bytes_BCHW.size(2), bytes_BCHW.size(3));
  for (int64_t i = 0; i < bytes_BCHW.size(0); ++i)
    net.Run(bytes_BCHW[i].data_ptr<uint8_t>(), i, maps);
  return maps;
}

at::Tensor RandomBytes(at::IntArrayRef shape) { return at::randint(256, shape, at::kByte); }

// float32 in another order of additions: relative to the largest value of a map, after some sixty
// layers.
constexpr double kRelative = 1e-4;

void ExpectClose(const HeadMaps& got, const HeadMaps& want) {
  for (size_t level = 0; level < 3; ++level) {
    for (const auto& [a, b] :
         {std::pair(got.box[level], want.box[level]), std::pair(got.cls[level], want.cls[level])}) {
      ASSERT_EQ(a.sizes(), b.sizes());
      EXPECT_GT(b.abs().max().item<double>(), 1e-2) << "nothing to compare";
      EXPECT_LT((a - b).abs().max().item<double>(), kRelative * b.abs().max().item<double>());
    }
  }
}

struct Case {
  char scale;
  int classes;
  std::vector<int64_t> shape;  // B, 3, H, W
};

class InferenceNetTest : public ::testing::TestWithParam<Case> {};

TEST_P(InferenceNetTest, GivesWhatTheModelGivesFoldedOrNot) {
  at::manual_seed(7);
  const at::NoGradGuard no_gradients;
  const auto model = Model(GetParam().scale, GetParam().classes);
  const at::Tensor bytes = RandomBytes(GetParam().shape);
  const HeadMaps want = model->Forward(bytes.to(at::kFloat).div_(255));
  ExpectClose(RunAll(InferenceNet(*model), bytes), want);
  model->Fuse();
  ExpectClose(RunAll(InferenceNet(*model), bytes), want);
}

// Of bfloat16's eight bits some sixty layers leave a few; a wrong weight or channel leaves none.
constexpr double kReducedRelative = 0.05;

std::vector<const kernels::TileLoops*> AllTiles() {
  std::vector<const kernels::TileLoops*> all = {&kernels::PlainTileLoops()};
  if (kernels::ProcessorTileLoops() != nullptr) all.push_back(kernels::ProcessorTileLoops());
  return all;
}

double Distance(const at::Tensor& got, const at::Tensor& want) {
  return ((got - want).norm() / want.norm()).item<double>();
}

TEST_P(InferenceNetTest, GivesNearlyThatInBFloat16) {
  at::manual_seed(7);
  const at::NoGradGuard no_gradients;
  const auto model = Model(GetParam().scale, GetParam().classes);
  const at::Tensor bytes = RandomBytes(GetParam().shape);
  const HeadMaps want = RunAll(InferenceNet(*model), bytes);
  for (const kernels::TileLoops* tiles : AllTiles()) {
    SCOPED_TRACE(tiles == kernels::ProcessorTileLoops() ? "of the processor" : "plain");
    const HeadMaps got = RunAll(InferenceNet(*model, *tiles), bytes);
    for (size_t level = 0; level < 3; ++level) {
      EXPECT_LT(Distance(got.box[level], want.box[level]), kReducedRelative) << level;
      EXPECT_LT(Distance(got.cls[level], want.cls[level]), kReducedRelative) << level;
    }
  }
}

// Widths of all scales; class branches whose channels are no multiple of a vector; maps that are no
// multiple of a tile.
INSTANTIATE_TEST_SUITE_P(
    Networks, InferenceNetTest,
    ::testing::Values(Case{'n', 80, {3, 3, 96, 160}}, Case{'n', 1, {1, 3, 32, 32}},
                      Case{'n', 200, {1, 3, 224, 64}}, Case{'s', 3, {1, 3, 64, 96}},
                      Case{'m', 80, {1, 3, 64, 96}}, Case{'x', 80, {1, 3, 64, 32}}));

void ExpectIndependentImages(const InferenceNet& net) {
  const at::Tensor bytes = RandomBytes({8, 3, 64, 96}), other = RandomBytes({1, 3, 160, 32});
  const HeadMaps in_turn = RunAll(net, bytes);
  RunAll(net, other);  // leaves its traces in the memory that is used again
  HeadMaps side_by_side = net.MakeMaps(8, 64, 96);
  Lanes lanes(4);
  lanes.ForEach(8, [&](size_t i) {
    net.Run(bytes.data_ptr<uint8_t>() + i * 3 * 64 * 96, static_cast<int64_t>(i), side_by_side);
  });
  for (size_t level = 0; level < 3; ++level) {
    EXPECT_TRUE(at::equal(in_turn.box[level], side_by_side.box[level]));
    EXPECT_TRUE(at::equal(in_turn.cls[level], side_by_side.cls[level]));
  }
}

TEST(InferenceNet, AnImagesResultDependsOnNothingButTheImage) {
  at::manual_seed(7);
  const auto model = Model('n', 80);
  ExpectIndependentImages(InferenceNet(*model));
  for (const kernels::TileLoops* tiles : AllTiles())
    ExpectIndependentImages(InferenceNet(*model, *tiles));
}

}  // namespace
}  // namespace yoke::engine
