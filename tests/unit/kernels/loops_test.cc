// Every set of instructions that this processor has, against the formulas in double.
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "server/engine/kernels/bn_silu.h"

namespace yoke::engine::kernels {
namespace {

// Not a whole number of registers of any kind.
constexpr int64_t kCount = 103;

std::vector<float> Random(size_t count, float low, float high, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> draw(low, high);
  std::vector<float> values(count);
  for (float& value : values) value = draw(generator);
  return values;
}

float ToFloat(float value) { return value; }
float ToFloat(BFloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float out;
  std::memcpy(&out, &bits, sizeof out);
  return out;
}
template <typename T>
T From(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return BFloat16{static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
  }
}
template <typename T>
std::vector<T> All(const std::vector<float>& values) {
  std::vector<T> out;
  for (const float value : values) out.push_back(From<T>(value));
  return out;
}

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double Slope(double z) { return Sigmoid(z) * (1 + z * (1 - Sigmoid(z))); }

template <typename T>
class LoopsTest : public ::testing::Test {
 protected:
  // Of results rounded to T; float arithmetic in between has some 1e-6.
  static constexpr double kRelative = std::is_same_v<T, float> ? 2e-6 : 4e-3;

  template <typename Check>
  void ForEachSet(const Check& check) {
    const SupportedLoops all = AllLoops();
    ASSERT_GE(all.count, 1);
    for (int i = 0; i < all.count; ++i) {
      SCOPED_TRACE(all.loops[i]->name);
      if constexpr (std::is_same_v<T, float>) {
        check(all.loops[i]->of_float);
      } else {
        check(all.loops[i]->of_bfloat16);
      }
    }
  }

  const std::vector<T> x_ = All<T>(Random(kCount, -6, 6, 1)), g_ = All<T>(Random(kCount, -2, 2, 2));
  const std::vector<float> a_ = Random(kCount, 0.2f, 2, 3), b_ = Random(kCount, -1, 1, 4),
                           c_ = Random(kCount, -1, 1, 5), d_ = Random(kCount, -1, 1, 6);
};

using Types = ::testing::Types<float, BFloat16>;
TYPED_TEST_SUITE(LoopsTest, Types);

TYPED_TEST(LoopsTest, Sums) {
  this->ForEachSet([&](const auto& loops) {
    std::vector<float> s(kCount, 1), q(kCount, 2);
    loops.bn_silu.sums(this->x_.data(), this->b_.data(), kCount, s.data(), q.data());
    for (size_t i = 0; i < kCount; ++i) {
      const double value = ToFloat(this->x_[i]) - static_cast<double>(this->b_[i]);
      EXPECT_NEAR(s[i], 1 + value, 1e-5);
      EXPECT_NEAR(q[i], 2 + value * value, 1e-5 * q[i]);
    }
  });
}

TYPED_TEST(LoopsTest, Forward) {
  this->ForEachSet([&](const auto& loops) {
    std::vector<TypeParam> y(kCount);
    loops.bn_silu.forward(this->x_.data(), this->a_.data(), this->b_.data(), kCount, y.data());
    for (size_t i = 0; i < kCount; ++i) {
      const double z = static_cast<double>(this->a_[i]) * ToFloat(this->x_[i]) + this->b_[i];
      EXPECT_NEAR(ToFloat(y[i]), z * Sigmoid(z), this->kRelative * (1 + std::abs(z))) << z;
    }
  });
}

TYPED_TEST(LoopsTest, Backward) {
  this->ForEachSet([&](const auto& loops) {
    std::vector<float> sd(kCount, 1), sx(kCount, 2);
    std::vector<TypeParam> out(kCount);
    loops.bn_silu.backward_sums(this->g_.data(), this->x_.data(), this->a_.data(), this->b_.data(),
                                this->c_.data(), kCount, sd.data(), sx.data());
    loops.bn_silu.backward(this->g_.data(), this->x_.data(), this->a_.data(), this->b_.data(),
                           this->c_.data(), this->d_.data(), kCount, out.data());
    for (size_t i = 0; i < kCount; ++i) {
      const double x = ToFloat(this->x_[i]), a = this->a_[i];
      const double d = ToFloat(this->g_[i]) * Slope(a * x + this->b_[i]);
      EXPECT_NEAR(sd[i], 1 + d, 1e-5);
      EXPECT_NEAR(sx[i], 2 + d * (x - this->c_[i]), 3e-5);
      const double want = a * d + this->d_[i] * x + this->c_[i];
      EXPECT_NEAR(ToFloat(out[i]), want, this->kRelative * (4 + std::abs(want)));
    }
  });
}

TYPED_TEST(LoopsTest, CrossEntropy) {
  std::vector<float> logits = Random(kCount, -30, 30, 7);
  logits[0] = 0, logits[1] = 100, logits[2] = -100;
  const auto x = All<TypeParam>(logits);
  this->ForEachSet([&](const auto& loops) {
    std::vector<float> sum(kCount, 0);
    std::vector<TypeParam> grad(kCount);
    loops.loss.cross_entropy(x.data(), this->a_.data(), 3.0f, kCount, sum.data(), grad.data());
    for (size_t i = 0; i < kCount; ++i) {
      const double value = ToFloat(x[i]), w = this->a_[i];
      const double want = w * (std::max(value, 0.0) + std::log1p(std::exp(-std::abs(value))));
      EXPECT_NEAR(sum[i], want, 1e-6 * (1 + want)) << value;
      EXPECT_NEAR(ToFloat(grad[i]), 3 * w * Sigmoid(value), this->kRelative * 4) << value;
    }
  });
}

TYPED_TEST(LoopsTest, Exponential) {
  this->ForEachSet([&](const auto& loops) {
    std::vector<float> y(kCount);
    loops.loss.exponential(this->x_.data(), 6.0f, kCount, y.data());
    for (size_t i = 0; i < kCount; ++i) {
      const double want = std::exp(ToFloat(this->x_[i]) - 6.0);
      EXPECT_NEAR(y[i], want, 6e-7 * want);
    }
  });
}

TYPED_TEST(LoopsTest, NotANumberStaysOne) {
  auto x = this->x_;
  x[5] = From<TypeParam>(std::nanf(""));
  this->ForEachSet([&](const auto& loops) {
    std::vector<TypeParam> y(kCount);
    loops.bn_silu.forward(x.data(), this->a_.data(), this->b_.data(), kCount, y.data());
    EXPECT_TRUE(std::isnan(ToFloat(y[5])));
    EXPECT_FALSE(std::isnan(ToFloat(y[4])));
  });
}

// Rows that touch are taken several at a time, rows of a wider map one by one.
TEST(BnSiluRows, DenseAndStridedRowsGiveTheSame) {
  constexpr int64_t kPixels = 50, kChannels = 7, kWide = 11;
  const std::vector<float> dense = Random(kPixels * kChannels, -3, 3, 8);
  std::vector<float> wide(kPixels * kWide, 99);
  for (int64_t p = 0; p < kPixels; ++p)
    std::copy_n(&dense[p * kChannels], kChannels, &wide[p * kWide]);
  const std::vector<float> shift(kChannels, 0.25f), a = Random(kChannels, 0.5, 2, 9),
                                                    b = Random(kChannels, -1, 1, 10);
  const Rows<const float> narrow_rows{dense.data(), kPixels, kChannels, kChannels},
      wide_rows{wide.data(), kPixels, kChannels, kWide};
  std::vector<double> s(kChannels), q(kChannels), s2(kChannels), q2(kChannels);
  BnSums(narrow_rows, shift.data(), s.data(), q.data());
  BnSums(wide_rows, shift.data(), s2.data(), q2.data());
  std::vector<float> y(dense.size()), y2(wide.size(), 7);
  BnSiluForward<float>(narrow_rows, a.data(), b.data(), {y.data(), kPixels, kChannels, kChannels});
  BnSiluForward<float>(wide_rows, a.data(), b.data(), {y2.data(), kPixels, kChannels, kWide});
  for (int64_t c = 0; c < kChannels; ++c) {
    double want = 0;
    for (int64_t p = 0; p < kPixels; ++p) {
      want += dense[p * kChannels + c] - 0.25;
      EXPECT_EQ(y[p * kChannels + c], y2[p * kWide + c]);
    }
    EXPECT_NEAR(s[c], want, 1e-4);
    EXPECT_NEAR(s[c], s2[c], 1e-4);
    EXPECT_NEAR(q[c], q2[c], 1e-4);
  }
  EXPECT_EQ(y2[kChannels], 7) << "what lies between the rows is not written";
}

}  // namespace
}  // namespace yoke::engine::kernels
