#include "common/formats/pickle.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/formats/archive_builder.h"

namespace yoke::formats {
namespace {

using ::testing::HasSubstr;
using Kind = PickleNode::Kind;

std::string Refusal(const std::string& bytes) {
  auto tree = Unpickle(AsBytes(bytes));
  return tree.ok() ? "" : std::string(tree.status().message());
}

// {'n': [1, -2, 70000, 0.5, True, None], 't': ('x', b'y')}
std::string Sample() {
  std::string list = "](K\x01J";
  PutNumber<int32_t>(list, -2);
  list += "J";
  PutNumber<int32_t>(list, 70000);
  list += std::string("G\x3f\xe0\0\0\0\0\0\0", 9) + "\x88Ne";
  return Pickle("}(" + PickledText("n") + list + PickledText("t") + PickledText("x") +
                "C\x01y\x86u");
}

TEST(Pickle, ReadsPlainValues) {
  const std::string bytes = Sample();
  auto tree = Unpickle(AsBytes(bytes));
  ASSERT_TRUE(tree.ok()) << tree.status();
  const PickleNode* list = tree->root().Find("n");
  ASSERT_NE(list, nullptr);
  ASSERT_EQ(list->items.size(), 6u);
  EXPECT_EQ(list->items[1]->integer, -2);
  EXPECT_EQ(list->items[2]->integer, 70000);
  EXPECT_EQ(list->items[3]->real, 0.5);
  EXPECT_EQ(list->items[4]->kind, Kind::kBool);
  EXPECT_EQ(list->items[5]->kind, Kind::kNone);
  EXPECT_EQ(tree->root().Find("t")->items[1]->text, "y");
  EXPECT_EQ(tree->root().Find("absent"), nullptr);
}

TEST(Pickle, KeepsObjectsInert) {
  const std::string bytes = Pickle(PickledObject("ultralytics.nn.tasks", "DetectionModel") + "}" +
                                   PickledText("nc") + "K\x50sb");
  auto tree = Unpickle(AsBytes(bytes));
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(tree->root().class_name(), "ultralytics.nn.tasks.DetectionModel");
  EXPECT_EQ(tree->root().state->Find("nc")->integer, 80);
}

TEST(Pickle, NamesTheGlobalItRefuses) {
  const std::string command = PickledText("touch /tmp/x") + "\x85R";
  EXPECT_THAT(Refusal(Pickle("cos\nsystem\n" + command)), HasSubstr("names os.system"));
  EXPECT_THAT(Refusal(Pickle("cposix\nsystem\n" + command)), HasSubstr("names posix.system"));
  EXPECT_THAT(Refusal(Pickle("cbuiltins\neval\n" + command)), HasSubstr("names builtins.eval"));
  EXPECT_THAT(Refusal(Pickle("c__builtin__\ngetattr\n" + command)),
              HasSubstr("__builtin__.getattr"));
  EXPECT_THAT(Refusal(Pickle(PickledText("subprocess") + PickledText("Popen") + "\x93" + command)),
              HasSubstr("names subprocess.Popen"));
  EXPECT_THAT(Refusal(Pickle("ctorch.hub\nload\n" + command)), HasSubstr("names torch.hub.load"));
}

TEST(Pickle, RefusesOpcodesThatWeightsDoNotNeed) {
  EXPECT_THAT(Refusal(Pickle("(ios\nsystem\n")), HasSubstr("opcode 0x69"));  // INST
  EXPECT_THAT(Refusal(Pickle("\x82\x01")), HasSubstr("opcode 0x82"));        // EXT1
  EXPECT_THAT(Refusal(Pickle("P1\n")), HasSubstr("opcode 0x50"));            // PERSID
}

TEST(Pickle, RefusesWhatItsStackCannotMean) {
  EXPECT_THAT(Refusal(Pickle("")), HasSubstr("not one value"));
  EXPECT_THAT(Refusal(Pickle("NN")), HasSubstr("not one value"));
  EXPECT_THAT(Refusal(Pickle("K\x01Na")), HasSubstr("no list"));
  EXPECT_THAT(Refusal(Pickle("]NNs")), HasSubstr("no dict"));
  EXPECT_THAT(Refusal(Pickle("}(Nu")), HasSubstr("without keys"));
  EXPECT_THAT(Refusal(Pickle("NNR")), HasSubstr("no name"));
  EXPECT_THAT(Refusal(Pickle("}}b")), HasSubstr("no object"));
  EXPECT_THAT(Refusal(Pickle("e")), HasSubstr("mark"));
  EXPECT_THAT(Refusal(Pickle("]h\x05"
                             "a")),
              HasSubstr("never remembered"));
  EXPECT_THAT(Refusal(Pickle("N(0")), HasSubstr("opcode"));
  EXPECT_THAT(Refusal(Pickle("\x8a\x09")), HasSubstr("more than 8 bytes"));
}

TEST(Pickle, RefusesEveryTruncationAndSurvivesEveryFlip) {
  const std::string whole = Sample();
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);
    EXPECT_FALSE(Unpickle(AsBytes(cut)).ok()) << size;
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(value);
      (void)Unpickle(AsBytes(bytes));
    }
  }
}

// A list that holds itself, and a chain a million deep, must neither loop nor exhaust the stack.
TEST(Pickle, BearsCyclesAndDepth) {
  const std::string cycle = Pickle(
      "]q\x01h\x01"
      "a");
  auto tree = Unpickle(AsBytes(cycle));
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(tree->root().items[0], &tree->root());
  const std::string deep = Pickle(")" + std::string(1'000'000, '\x85'));
  EXPECT_TRUE(Unpickle(AsBytes(deep)).ok());
}

TEST(Pickle, BoundsTheNumberOfValues) {
  EXPECT_THAT(Refusal(Pickle("(" + std::string(2'000'001, 'N') + "t")),
              HasSubstr("2 million values"));
}

}  // namespace
}  // namespace yoke::formats
