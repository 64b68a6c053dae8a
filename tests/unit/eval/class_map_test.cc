#include "server/engine/eval/class_map.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/eval/coco_categories.h"

namespace yoke::engine {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ClassList List(const std::string& file, const std::vector<std::string>& names) {
  return {file, names};
}

std::string Refusal(const absl::StatusOr<ClassMatch>& match) {
  EXPECT_EQ(match.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(match.status().message());
}

TEST(MatchModels, TheSameClassesAreNotSpokenOf) {
  const auto match = MatchModels({List("a.pt", {"cat", "dog"}), List("b.pt", {" Cat", "DOG "})});
  ASSERT_TRUE(match.ok()) << match.status();
  EXPECT_THAT(match->names, ElementsAre("cat", "dog"));
  EXPECT_THAT(match->maps, ElementsAre(ClassMap{0, 1}, ClassMap{0, 1}));
  EXPECT_THAT(match->notes, IsEmpty());
}

TEST(MatchModels, FollowsNamesAndAppendsWhatOnlyALaterModelKnows) {
  const auto match = MatchModels({List("a.pt", {"cat", "dog"}), List("b.pt", {"bird", "cat"})});
  ASSERT_TRUE(match.ok()) << match.status();
  EXPECT_THAT(match->names, ElementsAre("cat", "dog", "bird"));
  EXPECT_THAT(match->maps, ElementsAre(ClassMap{0, 1}, ClassMap{2, 0}));
  EXPECT_THAT(
      match->notes,
      ElementsAre("classes of b.pt in those of a.pt: 0 bird -> 2 bird, 1 cat -> 0 cat",
                  HasSubstr("a.pt does not vote for what it does not know (1 of 3 classes): bird"),
                  HasSubstr("b.pt does not vote for what it does not know (1 of 3 classes): dog")));
}

TEST(MatchModels, RefusesListsWithoutACommonClassNamingBothFiles) {
  EXPECT_THAT(Refusal(MatchModels({List("a.pt", {"cat"}), List("b.pt", {"dog"})})),
              AllOf(HasSubstr("b.pt and a.pt have no class in common"), HasSubstr("'dog'"),
                    HasSubstr("'cat'")));
}

TEST(MatchModels, RefusesANameThatCouldBeEitherOfTwo) {
  const ClassList twice = List("b.pt", {"dog", "cat", "Cat"});
  const auto names_both =
      AllOf(HasSubstr("b.pt calls several classes 'cat' (1, 2)"), HasSubstr("a.pt"));
  EXPECT_THAT(Refusal(MatchModels({List("a.pt", {"cat", "dog"}), twice})), names_both);
  EXPECT_THAT(Refusal(MatchModels({twice, List("a.pt", {"cat", "dog"})})), names_both);
  EXPECT_TRUE(MatchModels({twice, twice}).ok()) << "by number, as the lists are the same";
  EXPECT_TRUE(MatchModels({twice, List("a.pt", {"dog", "bird"})}).ok()) << "nobody asks for a cat";
}

TEST(MatchDataSet, OneModelWithTheDataSetsClasses) {
  const auto match =
      MatchDataSet({List("a.pt", {"cat", "dog"})}, List("data.yaml", {"Cat", "dog"}), false);
  ASSERT_TRUE(match.ok()) << match.status();
  EXPECT_THAT(match->names, ElementsAre("Cat", "dog"));
  EXPECT_THAT(match->maps, ElementsAre(ClassMap{0, 1}));
  EXPECT_THAT(match->notes, IsEmpty());
  EXPECT_THAT(match->warnings, IsEmpty());
}

TEST(MatchDataSet, ManyClassesOnFewAreMatchedByName) {
  const auto match = MatchDataSet({List("a.pt", {"cat", "dog", "bird"})},
                                  List("data.yaml", {"bird", "fish"}), false);
  ASSERT_TRUE(match.ok()) << match.status();
  EXPECT_THAT(match->maps, ElementsAre(ClassMap{-1, -1, 0}));
  EXPECT_THAT(match->notes,
              ElementsAre("classes of a.pt in those of data.yaml: 0 cat -> none, 1 dog "
                          "-> none, 2 bird -> 0 bird"));
  EXPECT_THAT(match->warnings,
              ElementsAre(AllOf(HasSubstr("a.pt does not know 1 of the 2 classes of data.yaml"),
                                HasSubstr("count as missed: fish"))));
}

TEST(MatchDataSet, AnotherOrderIsFollowed) {
  const auto match =
      MatchDataSet({List("a.pt", {"cat", "dog"})}, List("data.yaml", {"dog", "cat"}), false);
  ASSERT_TRUE(match.ok()) << match.status();
  EXPECT_THAT(match->maps, ElementsAre(ClassMap{1, 0}));
  EXPECT_THAT(match->warnings, IsEmpty());
}

TEST(MatchDataSet, AsManyOtherNamesAreTakenByNumberWithAWarning) {
  const auto match = MatchDataSet({List("a.pt", {"cat", "hound", "c", "d", "e"})},
                                  List("data.yaml", {"cat", "dog", "x", "y", "z"}), false);
  ASSERT_TRUE(match.ok()) << match.status();
  EXPECT_THAT(match->maps, ElementsAre(ClassMap{0, 1, 2, 3, 4}));
  EXPECT_THAT(match->warnings,
              ElementsAre("a.pt names 4 of its 5 classes otherwise than data.yaml and is taken by "
                          "class number: 1 'hound' is 'dog', 2 'c' is 'x', 3 'd' is 'y' ..."));
}

TEST(MatchDataSet, RefusesWhatCannotBeMeant) {
  EXPECT_THAT(Refusal(MatchDataSet({List("a.pt", {"cat"})}, List("d.yaml", {"x", "y"}), false)),
              AllOf(HasSubstr("a.pt"), HasSubstr("d.yaml"), HasSubstr("no class in common")));
  EXPECT_THAT(Refusal(MatchDataSet({List("a.pt", {"cat", "dog"})},
                                   List("d.yaml", {"dog", "dog", "x"}), false)),
              AllOf(HasSubstr("d.yaml calls several classes 'dog' (0, 1)"), HasSubstr("a.pt")));
}

TEST(MatchDataSet, MembersAreMatchedAmongThemselvesFirst) {
  const auto match = MatchDataSet({List("a.pt", {"cat", "dog"}), List("b.pt", {"bird", "dog"})},
                                  List("data.yaml", {"bird", "cat", "dog"}), false);
  ASSERT_TRUE(match.ok()) << match.status();
  EXPECT_THAT(match->maps, ElementsAre(ClassMap{1, 2}, ClassMap{0, 2}));
  EXPECT_THAT(match->warnings, IsEmpty());
  EXPECT_THAT(Refusal(MatchDataSet({List("a.pt", {"cat"}), List("b.pt", {"bird"})},
                                   List("data.yaml", {"bird", "cat"}), false)),
              HasSubstr("b.pt and a.pt"));
}

TEST(MatchDataSet, OneClassTakesAnything) {
  const auto match =
      MatchDataSet({List("a.pt", {"cat", "dog", "x"})}, List("data.yaml", {"fish", "y"}), true);
  ASSERT_TRUE(match.ok()) << match.status();
  EXPECT_THAT(match->names, ElementsAre("item"));
  EXPECT_THAT(match->maps, ElementsAre(ClassMap{0, 0, 0}));
}

TEST(MatchModels, LongListsAreShortened) {
  std::vector<std::string> one, other;
  for (int i = 0; i < 200; ++i) {
    one.push_back("class " + std::to_string(i));
    other.insert(other.begin(), one.back());
  }
  const auto match = MatchModels({List("a.pt", one), List("b.pt", other)});
  ASSERT_TRUE(match.ok()) << match.status();
  ASSERT_EQ(match->notes.size(), 1u);
  EXPECT_LT(match->notes[0].size(), 1000u);
  EXPECT_THAT(match->notes[0], HasSubstr(" and 180 more"));
}

TEST(CategoryIds, AreCocosForItsNamesAndCountFromOneOtherwise) {
  EXPECT_THAT(CategoryIds({"cat", "dog", "bird"}), ElementsAre(1, 2, 3));
  EXPECT_THAT(CategoryIds({}), IsEmpty());
  EXPECT_EQ(CategoryIds(std::vector<std::string>(80, "person"))[79], 80);
}

}  // namespace
}  // namespace yoke::engine
