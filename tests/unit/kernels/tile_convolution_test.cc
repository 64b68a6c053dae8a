// The tiles of this processor, if it has any, and those in plain C++, against the sum in double.
#include "server/engine/kernels/tile_convolution.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/kernels/bordered_map.h"
#include "tests/unit/kernels/plain_tiles.h"

namespace yoke::engine::kernels {
namespace {

constexpr uint16_t kNobodysBits = 0x42f6;  // 123

float FloatOf(BFloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

// Numbers in (-1, 1) that bfloat16 holds.
std::vector<BFloat16> Draw(int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> draw(-1, 1);
  std::vector<BFloat16> values(static_cast<size_t>(count));
  for (BFloat16& value : values)
    value.bits = static_cast<uint16_t>(std::bit_cast<uint32_t>(draw(generator)) >> 16);
  return values;
}

struct TileCase {
  TileConvolution::Shape shape;
  int64_t height, width;  // of the input
  bool add = false;
};

class TileConvolutionTest : public ::testing::TestWithParam<TileCase> {
 protected:
  void SetUp() override {
    const auto [in, out, kernel, stride, silu] = GetParam().shape;
    for (const BFloat16 w : Draw(out * in * kernel * kernel, 1)) weights_.push_back(FloatOf(w) / 4);
    for (const BFloat16 b : Draw(out, 2)) bias_.push_back(FloatOf(b));
    // Channels beside those that count hold numbers too.
    const std::vector<BFloat16> values = Draw(x_.map.height * x_.map.width * x_.map.channels, 3);
    size_t next = 0;
    for (int64_t i = 0; i < x_.map.height; ++i) {
      for (int64_t j = 0; j < x_.map.width; ++j) {
        for (int64_t c = 0; c < x_.map.channels; ++c) x_.At(i, j, c) = values[next++];
      }
    }
    height_ = (x_.map.height + stride - 1) / stride;
    width_ = (x_.map.width + stride - 1) / stride;
  }

  double Want(int64_t i, int64_t j, int64_t o) {
    const auto x = [this](int64_t row, int64_t column, int64_t c) {
      return FloatOf(x_.At(row, column, first_ + c));
    };
    return ConvolvedAt(GetParam().shape, x_.map.height, x_.map.width, x, weights_, bias_, i, j, o);
  }

  std::vector<const TileLoops*> AllTiles() const {
    std::vector<const TileLoops*> all = {&PlainTileLoops()};
    if (ProcessorTileLoops() != nullptr) all.push_back(ProcessorTileLoops());
    return all;
  }

  // The input is a slice in the middle of a wider map; an image is whole.
  bool of_image() const { return GetParam().shape.in == 3; }
  int64_t channels_in() const {
    return of_image() ? kImageChannels : PaddedChannels(GetParam().shape.in);
  }
  MapOf<const BFloat16> x_slice() const { return x_.map.Slice(first_, channels_in()); }

  const int64_t first_ = of_image() ? 0 : kChannelStep;
  BorderedMap<BFloat16> x_{GetParam().height, GetParam().width, channels_in() + 2 * first_};
  std::vector<float> weights_, bias_;
  int64_t height_ = 0, width_ = 0;
};

// The output is a slice in the middle of a wider map, whose rest nobody may touch.
TEST_P(TileConvolutionTest, IsTheSumAndTouchesNothingElse) {
  const TileConvolution::Shape& shape = GetParam().shape;
  const int64_t channels = PaddedChannels(shape.out);
  BorderedMap<BFloat16> add(height_, width_, channels);
  add.memory = Draw(static_cast<int64_t>(add.memory.size()), 4);
  add.map.at = add.memory.data() + (width_ + 6) * channels;
  const MapOf<const BFloat16> add_map = add.map;
  for (const TileLoops* loops : AllTiles()) {
    SCOPED_TRACE(loops == ProcessorTileLoops() ? "of the processor" : "plain");
    const TileConvolution convolution(shape, weights_.data(), bias_.data(), *loops);
    BorderedMap<BFloat16> y(height_, width_, channels + 2 * kChannelStep);
    std::fill(y.memory.begin(), y.memory.end(), BFloat16{kNobodysBits});
    convolution.Run(x_slice(), y.map.Slice(kChannelStep, channels),
                    GetParam().add ? &add_map : nullptr);
    BorderedMap<float> as_float(height_, width_, channels);
    convolution.Run(x_slice(), as_float.map, GetParam().add ? &add_map : nullptr);
    double worst = 0, worst_as_float = 0;
    for (int64_t i = 0; i < height_; ++i) {
      for (int64_t j = 0; j < width_; ++j) {
        for (int64_t o = 0; o < channels; ++o) {
          const double want = (o < shape.out ? Want(i, j, o) : 0) +
                              (GetParam().add ? FloatOf(add.At(i, j, o)) : 0.0f);
          BFloat16& got = y.At(i, j, kChannelStep + o);
          const double error = std::abs(want - FloatOf(got));
          got.bits = kNobodysBits;
          worst = std::max(worst, error / std::max(std::abs(want), 1.0));
          worst_as_float = std::max(worst_as_float, std::abs(want - as_float.At(i, j, o)));
        }
      }
    }
    EXPECT_LT(worst, 1.01 / 256);  // half of the last bit of eight
    EXPECT_LT(worst_as_float, 1e-4);
    for (const BFloat16 value : y.memory) ASSERT_EQ(value.bits, kNobodysBits);
  }
}

// Images; both depths; one tile of channels and of pixels, two, and more; narrow maps; strides.
INSTANTIATE_TEST_SUITE_P(
    Shapes, TileConvolutionTest,
    ::testing::Values(TileCase{{3, 16, 3, 2, true}, 20, 28}, TileCase{{3, 48, 3, 2, true}, 34, 98},
                      TileCase{{16, 32, 3, 2, true}, 7, 9}, TileCase{{16, 32, 3, 2, true}, 2, 2},
                      TileCase{{64, 80, 3, 2, true}, 12, 66}, TileCase{{32, 48, 1, 1, true}, 5, 31},
                      TileCase{{64, 80, 1, 1, false}, 3, 1}, TileCase{{100, 3, 1, 1, false}, 4, 20},
                      TileCase{{16, 16, 3, 1, true}, 8, 8, true},
                      TileCase{{32, 64, 3, 1, true}, 1, 1}, TileCase{{48, 112, 3, 1, false}, 9, 14},
                      TileCase{{20, 17, 3, 1, true}, 5, 23, true},
                      TileCase{{256, 96, 3, 1, true}, 10, 6, true}));

TEST(TileSmallLoops, TurnPlanesIntoPixelsAndCompare) {
  for (const TileLoops* loops : {&PlainTileLoops(), ProcessorTileLoops()}) {
    if (loops == nullptr) continue;
    constexpr int kCount = 37;
    uint8_t bytes[3][kCount];
    for (int i = 0; i < kCount; ++i) {
      for (int c = 0; c < 3; ++c) bytes[c][i] = static_cast<uint8_t>(i * 7 + c * 80);
    }
    const uint8_t* const planes[] = {bytes[0], bytes[1], bytes[2]};
    std::vector<BFloat16> pixels(kImageChannels * kCount + 1, BFloat16{kNobodysBits});
    loops->pixels_of_planes(planes, kCount, pixels.data());
    for (int i = 0; i < kCount; ++i) {
      for (int c = 0; c < 3; ++c) {
        const float want = static_cast<float>(bytes[c][i]) / 255.0f;
        EXPECT_NEAR(FloatOf(pixels[static_cast<size_t>(kImageChannels * i + c)]), want, want / 256);
      }
      EXPECT_EQ(pixels[static_cast<size_t>(kImageChannels * i + 3)].bits, 0);
    }
    EXPECT_EQ(pixels.back().bits, kNobodysBits);

    const std::vector<BFloat16> x = Draw(kCount, 5);
    std::vector<BFloat16> y = Draw(kCount, 6);
    const std::vector<BFloat16> before = y;
    loops->larger(x.data(), kCount - 1, y.data());
    for (size_t i = 0; i < kCount - 1; ++i)
      EXPECT_EQ(FloatOf(y[i]), std::max(FloatOf(x[i]), FloatOf(before[i])));
    EXPECT_EQ(y.back().bits, before.back().bits);
  }
}

}  // namespace
}  // namespace yoke::engine::kernels
