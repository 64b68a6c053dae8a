#include "common/ipc/events.h"

#include <thread>
#include <vector>

#include "absl/strings/str_split.h"
#include "common/os/file.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::ipc {
namespace {

class Events : public ::testing::Test {
 protected:
  std::unique_ptr<EventWriter> Open(int rank = 2) {
    auto writer = EventWriter::Open(path_, rank);
    EXPECT_TRUE(writer.ok()) << writer.status();
    return *std::move(writer);
  }

  std::vector<ParsedEvent> ReadAll() {
    std::vector<ParsedEvent> events;
    const std::string text = os::ReadFile(path_).value();
    EXPECT_TRUE(text.empty() || text.back() == '\n');
    for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
      const auto event = ParseEvent({line.data(), line.size()});
      EXPECT_TRUE(event.ok()) << event.status();
      if (event.ok()) events.push_back(*event);
    }
    return events;
  }

  TempFolder folder_;
  const std::string path_ = folder_.path() + "/rank2.events.jsonl";
};

TEST_F(Events, AreNumberedFromOne) {
  const auto writer = Open();
  ASSERT_TRUE(writer->Append("phase", {{"phase", "train"}}).ok());
  ASSERT_TRUE(writer->Append("checkpoint", nullptr).ok());
  ASSERT_TRUE(writer->Sync().ok());
  const auto events = ReadAll();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].seq, 1);
  EXPECT_EQ(events[0].rank, 2);
  EXPECT_EQ(events[0].type, "phase");
  EXPECT_EQ(events[0].fields, (nlohmann::json{{"phase", "train"}}));
  EXPECT_EQ(events[0].time.size(), 24u);
  EXPECT_EQ(events[1].seq, 2);
}

TEST_F(Events, ContinueTheSequence) {
  ASSERT_TRUE(Open()->Append("a", {}).ok());
  ASSERT_TRUE(Open()->Append("b", {}).ok());
  EXPECT_EQ(ReadAll()[1].seq, 2);
}

TEST_F(Events, CutATornLine) {
  ASSERT_TRUE(Open()->Append("a", {}).ok());
  const std::string whole = os::ReadFile(path_).value();
  ASSERT_TRUE(os::AtomicWriteFile(path_, whole + "{\"seq\":2,\"ti").ok());
  ASSERT_TRUE(Open()->Append("b", {}).ok());
  const auto events = ReadAll();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].seq, 2);
  EXPECT_EQ(events[1].type, "b");
}

TEST_F(Events, CutAFileThatIsOneTornLine) {
  ASSERT_TRUE(os::AtomicWriteFile(path_, "{\"seq\":1,").ok());
  ASSERT_TRUE(Open()->Append("a", {}).ok());
  EXPECT_EQ(ReadAll()[0].seq, 1);
}

TEST_F(Events, StayWholeWithManyThreads) {
  const auto writer = Open();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) EXPECT_TRUE(writer->Append("step", {{"i", i}}).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto events = ReadAll();
  ASSERT_EQ(events.size(), 400u);
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i].seq, static_cast<int64_t>(i) + 1);
}

TEST_F(Events, ReportAFullDiskAndTakeNoNumber) {
  auto writer = EventWriter::Open("/dev/full", 0);
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_TRUE(absl::IsResourceExhausted((*writer)->Append("a", {})));
}

TEST_F(Events, RefuseFieldsThatAreNoObject) {
  EXPECT_TRUE(absl::IsInvalidArgument(Open()->Append("a", 3)));
  EXPECT_TRUE(ReadAll().empty());
}

TEST(ParseEvent, RefusesWhatIsNoEvent) {
  for (const char* line : {"", "{", "[]", "{}", R"({"seq":0,"time":"t","rank":0,"type":"a"})",
                           R"({"seq":"1","time":"t","rank":0,"type":"a"})",
                           R"({"seq":1,"time":"t","rank":0})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseEvent(line).status())) << line;
  }
  EXPECT_TRUE(ParseEvent(R"({"seq":1,"time":"t","rank":0,"type":"a"})").ok());
}

}  // namespace
}  // namespace yoke::ipc
