#include "common/formats/torch_file.h"

#include <cstring>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/formats/archive_builder.h"

namespace yoke::formats {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Floats(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

const TensorOptions kWeight{.count = 6, .sizes = {2, 3}, .strides = {3, 1}};
const TensorOptions kCount{.kind = "LongStorage", .key = "1", .count = 1};

// {'w': float tensor 2x3, 'n': int64 scalar}
std::string Sample(const std::string& root = "archive") {
  const std::string pickle =
      Pickle(PickledDict({{"w", PickledTensor(kWeight)}, {"n", PickledTensor(kCount)}}));
  return BuildZip({{root + "/data.pkl", pickle},
                   {root + "/byteorder", "little"},
                   {root + "/data/0", Floats({1, 2, 3, 4, 5, 6})},
                   {root + "/data/1", std::string("\x07\0\0\0\0\0\0\0", 8)},
                   {root + "/version", "3\n"}});
}

absl::StatusOr<StoredTensor> TensorOf(const std::string& archive, const char* name) {
  auto file = TorchFile::Open(AsBytes(archive));
  if (!file.ok()) return file.status();
  const PickleNode* node = file->root().Find(name);
  return node == nullptr ? absl::NotFoundError("no such tensor") : file->Tensor(*node);
}

std::string Refusal(const TensorOptions& tensor, const std::string& storage) {
  const std::string archive =
      BuildZip({{"a/data.pkl", Pickle(PickledDict({{"w", PickledTensor(tensor)}}))},
                {"a/data/" + tensor.key, storage}});
  const auto stored = TensorOf(archive, "w");
  return stored.ok() ? "" : std::string(stored.status().message());
}

TEST(TorchFile, GivesTensorsUnderAnyRootFolder) {
  for (const char* root : {"archive", "best", "deep/er"}) {
    const std::string archive = Sample(root);
    const auto weight = TensorOf(archive, "w");
    ASSERT_TRUE(weight.ok()) << weight.status();
    EXPECT_EQ(weight->type, ElementType::kFloat32);
    EXPECT_THAT(weight->sizes, ElementsAre(2, 3));
    EXPECT_THAT(weight->strides, ElementsAre(3, 1));
    EXPECT_EQ(std::string(weight->bytes.begin(), weight->bytes.end()), Floats({1, 2, 3, 4, 5, 6}));
    const auto count = TensorOf(archive, "n");
    ASSERT_TRUE(count.ok()) << count.status();
    EXPECT_TRUE(count->sizes.empty());
    EXPECT_EQ(count->bytes[0], 7);
  }
}

TEST(TorchFile, AViewBeginsAtItsOffsetAndMayLeaveGaps) {
  const TensorOptions view{.count = 6, .sizes = {2, 2}, .strides = {3, 1}, .offset = 1};
  const std::string archive =
      BuildZip({{"a/data.pkl", Pickle(PickledDict({{"w", PickledTensor(view)}}))},
                {"a/data/0", Floats({1, 2, 3, 4, 5, 6})}});
  const auto stored = TensorOf(archive, "w");
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(std::string(stored->bytes.begin(), stored->bytes.end()), Floats({2, 3, 4, 5, 6}));
}

TEST(TorchFile, RefusesTensorsThatLeaveTheirStorage) {
  const std::string six = Floats({1, 2, 3, 4, 5, 6});
  EXPECT_THAT(Refusal({.count = 6, .sizes = {2, 4}, .strides = {4, 1}}, six),
              HasSubstr("outside its storage"));
  EXPECT_THAT(Refusal({.count = 6, .sizes = {2, 3}, .strides = {4, 1}}, six),
              HasSubstr("outside its storage"));
  EXPECT_THAT(Refusal({.count = 6, .sizes = {6}, .strides = {1}, .offset = 1}, six),
              HasSubstr("outside its storage"));
  EXPECT_THAT(Refusal({.count = 6, .sizes = {1}, .strides = {1}, .offset = -1}, six),
              HasSubstr("without a storage"));
  EXPECT_THAT(Refusal({.count = 6, .sizes = {-1}, .strides = {1}}, six), HasSubstr("negative"));
  EXPECT_THAT(Refusal({.count = 6, .sizes = {2}, .strides = {-1}}, six), HasSubstr("negative"));
  const int64_t huge = INT64_MAX;
  EXPECT_THAT(
      Refusal({.count = 6, .sizes = {huge, huge, huge}, .strides = {huge, huge, huge}}, six),
      HasSubstr("outside its storage"));
  EXPECT_THAT(Refusal({.count = 6, .sizes = {2}, .strides = {huge}}, six),
              HasSubstr("outside its storage"));
  EXPECT_THAT(Refusal({.count = 6, .sizes = {4, 4}, .strides = {0, 1}}, six),
              HasSubstr("outside its storage"));
  EXPECT_THAT(Refusal({.count = 7, .sizes = {2}, .strides = {1}}, six),
              HasSubstr("not as long as it says"));
  EXPECT_THAT(Refusal({.count = 6, .sizes = {2}, .strides = {}}, six),
              HasSubstr("more sizes than strides"));
  EXPECT_THAT(
      Refusal({.kind = "ComplexFloatStorage", .count = 3, .sizes = {3}, .strides = {1}}, six),
      HasSubstr("torch.ComplexFloatStorage"));
  EXPECT_EQ(Refusal({.count = 6, .sizes = {0, 9}, .strides = {9, 1}}, six), "");
}

TEST(TorchFile, SaysWhatAFileWithoutWeightsIs) {
  const auto refusal = [](const std::vector<std::pair<std::string, std::string>>& entries) {
    const std::string archive = BuildZip(entries);
    return std::string(TorchFile::Open(AsBytes(archive)).status().message());
  };
  EXPECT_THAT(refusal({{"a/readme", "x"}}), HasSubstr("no data.pkl"));
  EXPECT_THAT(refusal({{"a/data.pkl", Pickle("N")}, {"b/data.pkl", Pickle("N")}}),
              HasSubstr("two pickles"));
  EXPECT_THAT(refusal({{"a/data.pkl", Pickle("N")}, {"a/constants.pkl", Pickle("N")}}),
              HasSubstr("TorchScript"));
  EXPECT_THAT(refusal({{"a/data.pkl", Pickle("N")}, {"a/byteorder", "big"}}),
              HasSubstr("little-endian"));
  const std::string before_zip("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\x02", 17);
  EXPECT_THAT(std::string(TorchFile::Open(AsBytes(before_zip)).status().message()),
              HasSubstr("PyTorch before 1.6"));
}

// Whatever single byte of the whole file is damaged, and however: the tensors are the same, or
// there is a refusal.
TEST(TorchFile, AnyDamagedByteGivesTheSameTensorsOrARefusal) {
  const std::string whole = Sample();
  const auto weight = *TensorOf(whole, "w");
  const std::string expected(weight.bytes.begin(), weight.bytes.end());
  int refused = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int change = 1; change < 256; ++change) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ change);
      const auto stored = TensorOf(bytes, "w");
      const auto count = TensorOf(bytes, "n");
      if (!stored.ok() || !count.ok()) {
        ++refused;
        continue;
      }
      ASSERT_EQ(std::string(stored->bytes.begin(), stored->bytes.end()), expected) << at;
      ASSERT_EQ(stored->sizes, weight.sizes) << at;
      ASSERT_EQ(stored->strides, weight.strides) << at;
      ASSERT_EQ(stored->type, weight.type) << at;
      ASSERT_EQ(count->bytes[0], 7) << at;
    }
  }
  EXPECT_GT(refused, 255 * 300);  // pickle, storages, their names and places: most of the file
}

TEST(TorchFile, AnyTruncationIsRefused) {
  const std::string whole = Sample();
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);
    EXPECT_FALSE(TorchFile::Open(AsBytes(cut)).ok()) << size;
  }
}

}  // namespace
}  // namespace yoke::formats
