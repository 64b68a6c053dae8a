#include "common/formats/data_yaml.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yoke::formats {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Refusal(const std::string& text) {
  const auto data = ParseDataYaml(text, "d.yaml");
  return data.ok() ? "ok" : std::string(data.status().message());
}

TEST(DataYaml, ReadsPathsAsWrittenAndNamesByIdOrPlace) {
  const auto data = ParseDataYaml(
      "path: ../x\ntrain: [a, b/]\nvalidation: c\nnames: {1: dog, 0: cat}\nnc: 2\ndownload: rm -r "
      "/\n",
      "d.yaml");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->path, "../x");
  EXPECT_THAT(data->train, ElementsAre("a", "b/"));
  EXPECT_THAT(data->val, ElementsAre("c"));
  EXPECT_TRUE(data->test.empty());
  EXPECT_THAT(data->names, ElementsAre("cat", "dog"));
  EXPECT_THAT(ParseDataYaml("train: a\nnames:\n- cat\n", "d.yaml")->names, ElementsAre("cat"));
}

TEST(DataYaml, RefusesWithPlaceAndReason) {
  EXPECT_THAT(Refusal(""), HasSubstr("empty YAML"));
  EXPECT_THAT(Refusal("[a]"), HasSubstr("no data set description"));
  EXPECT_THAT(Refusal("a: 1\na: 2\n"), HasSubstr("d.yaml:2: the key 'a' is there twice"));
  EXPECT_THAT(Refusal("a: &x 1\nb: *x\n"), HasSubstr("anchors and aliases"));
  EXPECT_THAT(Refusal("a: [\n"), HasSubstr("not valid YAML"));
  EXPECT_THAT(Refusal("names: [a]\n"), HasSubstr("neither train nor val"));
  EXPECT_THAT(Refusal("train: x\n"), HasSubstr("no names"));
  EXPECT_THAT(Refusal("train: x\nnames: {0: a, 2: b}\n"), HasSubstr("class id 2"));
  EXPECT_THAT(Refusal("train: x\nnames: [a]\nnc: 2\n"), HasSubstr("nc is 2 but there are 1 names"));
  EXPECT_THAT(Refusal("train: x\nnames: [\"a\\u0007\"]\n"), HasSubstr("control characters"));
  EXPECT_THAT(Refusal("train: x\nnames: [\"a\xff\"]\n"), HasSubstr("d.yaml"));
  const std::string deep = std::string(40, '[') + std::string(40, ']');
  EXPECT_THAT(Refusal("a: " + deep), HasSubstr("nested deeper than 32"));
  EXPECT_THAT(Refusal("a: " + std::string(100'000, '[')), HasSubstr("d.yaml:1"));
}

}  // namespace
}  // namespace yoke::formats
