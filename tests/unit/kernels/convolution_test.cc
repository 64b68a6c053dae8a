// Every set of instructions that this processor has, against the sum in double.
#include "server/engine/kernels/convolution.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/kernels/bordered_map.h"

namespace yoke::engine::kernels {
namespace {

constexpr float kUntouched = 123;

std::vector<float> Random(int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> draw(-1, 1);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = draw(generator);
  return values;
}

struct Case {
  Convolution::Shape shape;
  int64_t height, width;  // of the input
  bool add = false;
};

class ConvolutionTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const auto [in, out, kernel, stride, silu] = GetParam().shape;
    weights_ = Random(out * in * kernel * kernel, 1);
    for (float& w : weights_) w /= std::sqrt(static_cast<float>(in * kernel * kernel));
    bias_ = Random(out, 2);
    const std::vector<float> values = Random(x_.map.height * x_.map.width * in, 3);
    size_t next = 0;
    for (int64_t i = 0; i < x_.map.height; ++i) {
      for (int64_t j = 0; j < x_.map.width; ++j) {
        for (int64_t c = 0; c < in; ++c) x_.At(i, j, c) = values[next++];
      }
    }
  }

  double Want(int64_t i, int64_t j, int64_t o) {
    const auto x = [this](int64_t row, int64_t column, int64_t c) { return x_.At(row, column, c); };
    return ConvolvedAt(GetParam().shape, x_.map.height, x_.map.width, x, weights_, bias_, i, j, o);
  }

  BorderedMap<float> x_{GetParam().height, GetParam().width, PaddedChannels(GetParam().shape.in)};
  std::vector<float> weights_, bias_, scratch_;
};

// The output is a slice in the middle of a wider map, whose rest nobody may touch.
TEST_P(ConvolutionTest, IsTheSumAndTouchesNothingElse) {
  const Convolution::Shape& shape = GetParam().shape;
  const int64_t height = (x_.map.height + shape.stride - 1) / shape.stride,
                width = (x_.map.width + shape.stride - 1) / shape.stride;
  const int64_t channels = PaddedChannels(shape.out);
  BorderedMap<float> add(height, width, channels);
  add.memory = Random(static_cast<int64_t>(add.memory.size()), 4);
  const ConstMap add_map = add.map;
  const SupportedLoops all = AllLoops();
  for (int l = 0; l < all.count; ++l) {
    SCOPED_TRACE(all.loops[l]->name);
    BorderedMap<float> y(height, width, channels + 2 * kChannelStep);
    std::fill(y.memory.begin(), y.memory.end(), kUntouched);
    const Convolution convolution(shape, weights_.data(), bias_.data(), *all.loops[l]);
    convolution.Run(x_.map, y.map.Slice(kChannelStep, channels),
                    GetParam().add ? &add_map : nullptr, scratch_);
    double worst = 0;
    int64_t written = 0;
    for (int64_t i = 0; i < height; ++i) {
      for (int64_t j = 0; j < width; ++j) {
        for (int64_t o = 0; o < shape.out; ++o) {
          const double want = Want(i, j, o) + (GetParam().add ? add.At(i, j, o) : 0);
          worst = std::max(worst, std::abs(want - y.At(i, j, kChannelStep + o)));
        }
      }
    }
    for (const float value : y.memory) written += value != kUntouched ? 1 : 0;
    EXPECT_LT(worst, 2e-5);  // tiles' products are up to some hundred times the values themselves
    EXPECT_EQ(written, height * width * channels);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, ConvolutionTest,
    ::testing::Values(Case{{3, 16, 3, 2, true}, 20, 28}, Case{{16, 32, 3, 2, true}, 7, 9},
                      Case{{32, 48, 1, 1, true}, 5, 31}, Case{{64, 80, 1, 1, false}, 3, 1},
                      Case{{100, 3, 1, 1, false}, 4, 20}, Case{{16, 16, 3, 1, true}, 8, 8, true},
                      Case{{32, 64, 3, 1, true}, 1, 1}, Case{{48, 112, 3, 1, false}, 9, 14},
                      Case{{20, 17, 3, 1, true}, 5, 23, true}, Case{{256, 96, 3, 1, true}, 40, 6}));

TEST(Convolution, CutsChannelsIntoBlocksOfNearlyEqualSize) {
  EXPECT_EQ(BlockVectors(5, 4), 3);
  EXPECT_EQ(BlockVectors(2, 4), 2);
  EXPECT_EQ(BlockVectors(8, 4), 4);
  EXPECT_EQ(BlockVectors(20, 14), 10);
}

TEST(SmallLoops, TurnPlanesIntoPixelsAndCompare) {
  const SupportedLoops all = AllLoops();
  for (int l = 0; l < all.count; ++l) {
    const ConvLoops& loops = all.loops[l]->conv;
    constexpr int kCount = 37;
    uint8_t bytes[3][kCount];
    for (int i = 0; i < kCount; ++i) {
      for (int c = 0; c < 3; ++c) bytes[c][i] = static_cast<uint8_t>(i * 7 + c * 80);
    }
    const uint8_t* const planes[] = {bytes[0], bytes[1], bytes[2]};
    std::vector<float> pixels(3 * kCount + 1, kUntouched);
    loops.pixels_of_planes(planes, kCount, pixels.data());
    for (int i = 0; i < kCount; ++i) {
      for (int c = 0; c < 3; ++c)
        EXPECT_EQ(pixels[3 * i + c], static_cast<float>(bytes[c][i]) / 255.0f);
    }
    EXPECT_EQ(pixels.back(), kUntouched);

    std::vector<float> x = Random(kCount, 5), y = Random(kCount, 6), want;
    for (int i = 0; i < kCount; ++i) want.push_back(std::max(x[i], y[i]));
    loops.larger(x.data(), kCount, y.data());
    EXPECT_EQ(y, want);

    EXPECT_FALSE(loops.any_above(x.data(), kCount, 1));
    x[kCount - 1] = 2;
    EXPECT_TRUE(loops.any_above(x.data(), kCount, 1));
    EXPECT_FALSE(loops.any_above(x.data(), kCount - 1, 1));
  }
}

}  // namespace
}  // namespace yoke::engine::kernels
