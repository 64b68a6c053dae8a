#include "server/engine/checkpoint/class_transfer.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yoke::engine {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Names = std::vector<std::string>;

std::string Refusal(const Names& from, const Names& to) {
  const auto map = MatchClasses(from, to);
  return map.ok() ? "" : std::string(map.status().message());
}

TEST(ClassTransfer, FindsClassesByNameWithoutCaseAndBlanks) {
  const Names from = {"person", "bicycle", "Car"}, to = {"car ", "unicorn", " PERSON"};
  const auto map = MatchClasses(from, to);
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_THAT(map->source, ElementsAre(2, -1, 0));
  EXPECT_EQ(map->matched, 2);
  EXPECT_THAT(DescribeTransfer(*map, from, to),
              ElementsAre(HasSubstr("2 of 3 classes"), "  2 -> 0 car ", "  new -> 1 unicorn",
                          "  0 -> 2  PERSON"));
}

TEST(ClassTransfer, ListsThatAgreeAreTakenByPlaceAndNeedNoWords) {
  const Names from = {"cat", "dog", "dog"}, to = {"Cat", "dog", "dog"};  // even with a name twice
  const auto map = MatchClasses(from, to);
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_FALSE(map->by_name());
  EXPECT_THAT(DescribeTransfer(*map, from, to), IsEmpty());
}

TEST(ClassTransfer, PlaceholdersMatchNothing) {
  for (const auto& [from, to] : {std::pair<Names, Names>{{"0", "1", "2"}, {"0", "1"}},
                                 {{"class0", "class1"}, {"class0", "class1", "dog"}},
                                 {{"cat", "class1"}, {"dog", "class1"}}}) {
    const auto map = MatchClasses(from, to);
    ASSERT_TRUE(map.ok()) << map.status();
    EXPECT_FALSE(map->by_name());
  }
  // Another class's number is a name.
  EXPECT_THAT(MatchClasses({"7", "8"}, {"8", "9", "7"})->source, ElementsAre(1, -1, 0));
}

TEST(ClassTransfer, WithoutACommonNameSaysWhatHappens) {
  EXPECT_THAT(DescribeTransfer({}, {"cat", "dog"}, {"cow", "pig"}),
              ElementsAre(HasSubstr("taken over by id")));
  EXPECT_THAT(DescribeTransfer({}, {"cat", "dog"}, {"cow"}), ElementsAre(HasSubstr("all are new")));
}

TEST(ClassTransfer, ANameThatStandsTwiceIsRefusedIfItMatters) {
  EXPECT_THAT(Refusal({"cat", "CAT ", "dog"}, {"cat"}),
              AllOf(HasSubstr("'cat' stands twice in the weights (ids 0 and 1)"),
                    HasSubstr("cls_remap=False")));
  EXPECT_THAT(Refusal({"cat", "dog"}, {"dog", "cow", "dog"}),
              HasSubstr("'dog' stands twice in the data set (ids 0 and 2)"));
  EXPECT_EQ(Refusal({"cat", "cat", "dog"}, {"dog"}), "");
}

TEST(ClassTransfer, ALongTableIsCut) {
  Names from, to;
  for (int i = 0; i < 1000; ++i) {
    from.push_back("thing " + std::to_string(i));
    to.insert(to.begin(), from.back());
  }
  const auto lines = DescribeTransfer(*MatchClasses(from, to), from, to);
  EXPECT_EQ(lines.size(), 202u);
  EXPECT_THAT(lines.back(), HasSubstr("and 800 more"));
}

}  // namespace
}  // namespace yoke::engine
