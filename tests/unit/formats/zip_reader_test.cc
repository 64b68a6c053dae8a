#include "common/formats/zip_reader.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/formats/archive_builder.h"

namespace yoke::formats {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<std::pair<std::string, std::string>> kEntries = {
    {"a/data.pkl", "pickle"}, {"a/data/0", ""}, {"a/version", "3\n"}};

TEST(ZipReader, ReadsStoredEntries) {
  for (const bool zip64 : {false, true}) {
    const std::string bytes = BuildZip(kEntries, {.zip64 = zip64});
    auto zip = ZipReader::Open(AsBytes(bytes));
    ASSERT_TRUE(zip.ok()) << zip.status();
    EXPECT_THAT(zip->names(), ElementsAre("a/data.pkl", "a/data/0", "a/version"));
    EXPECT_EQ(*zip->Read("a/data.pkl"), AsBytes("pickle"));
    EXPECT_TRUE(zip->Read("a/data/0")->empty());
    EXPECT_EQ(zip->Read("b").status().code(), absl::StatusCode::kNotFound);
  }
}

TEST(ZipReader, RefusesEveryTruncation) {
  for (const bool zip64 : {false, true}) {
    const std::string whole = BuildZip(kEntries, {.zip64 = zip64});
    for (size_t size = 0; size < whole.size(); ++size) {
      const std::string cut =
          whole.substr(0, size);  // its own memory, so that a read past it is seen
      EXPECT_FALSE(ZipReader::Open(AsBytes(cut)).ok()) << size;
    }
  }
}

TEST(ZipReader, AFlippedByteNeverReadsOutsideNorGoesUnseenInData) {
  for (const bool zip64 : {false, true}) {
    const std::string whole = BuildZip(kEntries, {.zip64 = zip64});
    for (size_t at = 0; at < whole.size(); ++at) {
      for (const uint8_t value : {0x00, 0x7F, 0x80, 0xFF}) {
        std::string bytes = whole;
        bytes[at] = static_cast<char>(value);
        auto zip = ZipReader::Open(AsBytes(bytes));
        if (!zip.ok()) continue;
        for (const std::string& name : zip->names()) {
          auto data = zip->Read(name);
          const bool known = data.ok() && name == "a/data.pkl";
          EXPECT_TRUE(!known || *data == AsBytes("pickle")) << at;
        }
      }
    }
  }
}

TEST(ZipReader, SaysWhyItRefuses) {
  const auto refusal = [](const std::string& bytes) {
    return std::string(ZipReader::Open(AsBytes(bytes)).status().message());
  };
  EXPECT_THAT(refusal("short"), HasSubstr("not a zip archive"));
  EXPECT_THAT(refusal(std::string(100, 'x')), HasSubstr("not a zip archive"));
  EXPECT_THAT(refusal(BuildZip(kEntries).substr(0, 60)), HasSubstr("truncated"));
  EXPECT_THAT(refusal(BuildZip(kEntries, {.method = 8})), HasSubstr("compressed"));
  EXPECT_THAT(refusal(BuildZip(kEntries, {.flags = 1})), HasSubstr("encrypted"));
  EXPECT_THAT(refusal(BuildZip({{"x", "1"}, {"x", "2"}})), HasSubstr("two entries named x"));
}

TEST(ZipReader, ADamagedEntryIsDataLoss) {
  std::string bytes = BuildZip(kEntries);
  bytes[bytes.find("pickle")] ^= 1;
  auto zip = ZipReader::Open(AsBytes(bytes));
  ASSERT_TRUE(zip.ok());
  EXPECT_EQ(zip->Read("a/data.pkl").status().code(), absl::StatusCode::kDataLoss);
}

TEST(Crc32, IsTheOneOfZip) {
  const std::string digits = "123456789";
  EXPECT_EQ(Crc32(AsBytes(digits)), 0xCBF43926u);
  EXPECT_EQ(Crc32(AsBytes("")), 0u);
  EXPECT_EQ(Crc32(AsBytes(digits.substr(4)), Crc32(AsBytes(digits.substr(0, 4)))), 0xCBF43926u);
}

}  // namespace
}  // namespace yoke::formats
