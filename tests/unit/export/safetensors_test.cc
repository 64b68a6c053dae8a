// Byte by byte; that the safetensors package reads whole models is in
// tests/numerics/exported_test.py.
#include "server/engine/export/safetensors.h"

#include <cstring>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yoke::engine {
namespace {

using ::testing::HasSubstr;
using Type = SafeTensor::Type;

std::string Message(std::vector<SafeTensor> tensors) {
  const auto encoded = EncodeSafetensors(std::move(tensors), {});
  EXPECT_FALSE(encoded.ok());
  return std::string(encoded.status().message());
}

TEST(Safetensors, HeaderIsAlignedAndTheWidestComeFirst) {
  const auto encoded = EncodeSafetensors({{"b", Type::kFloat16, {1}, absl::Cord("hh")},
                                          {"c", Type::kFloat32, {2, 1}, absl::Cord("ffffFFFF")},
                                          {"d", Type::kInt64, {}, absl::Cord("iiiiiiii")},
                                          {"a", Type::kFloat32, {0}, absl::Cord()}},
                                         {{"nc", "2"}, {"names", "[\"a\"]"}});
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  const std::string bytes(*encoded);
  uint64_t size = 0;
  std::memcpy(&size, bytes.data(), 8);
  EXPECT_EQ(size % 8, 0u);
  const std::string header = R"({"__metadata__":{"names":"[\"a\"]","nc":"2"},)"
                             R"("d":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
                             R"("a":{"dtype":"F32","shape":[0],"data_offsets":[8,8]},)"
                             R"("c":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]},)"
                             R"("b":{"dtype":"F16","shape":[1],"data_offsets":[16,18]}})";
  ASSERT_GE(size, header.size());
  EXPECT_LT(size - header.size(), 8u);
  EXPECT_EQ(bytes.substr(8, size), header + std::string(size - header.size(), ' '));
  EXPECT_EQ(bytes.substr(8 + size), "iiiiiiiiffffFFFFhh");
}

TEST(Safetensors, RefusesWhatNoReaderWouldTake) {
  EXPECT_THAT(Message({{"a", Type::kFloat32, {2}, absl::Cord("1234")}}),
              HasSubstr("a of shape [2]"));
  EXPECT_THAT(Message({{"a", Type::kFloat32, {-1}, absl::Cord("1234")}}), HasSubstr("[-1]"));
  EXPECT_THAT(Message({{"a", Type::kInt64, {int64_t{1} << 61}, absl::Cord()}}), HasSubstr("a of"));
  EXPECT_THAT(Message({{"__metadata__", Type::kFloat32, {0}, absl::Cord()}}), HasSubstr("called"));
  EXPECT_THAT(
      Message({{"a", Type::kFloat32, {0}, absl::Cord()}, {"a", Type::kInt64, {0}, absl::Cord()}}),
      HasSubstr("two tensors are called a"));
}

TEST(Safetensors, RefusesAHeaderBeyondTheFormatsLimit) {
  const auto encoded = EncodeSafetensors({}, {{"names", std::string(100'000'000, 'x')}});
  EXPECT_EQ(encoded.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace yoke::engine
