#include "server/worker/event_observer.h"

#include "absl/strings/str_split.h"
#include "common/os/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class Observer : public ::testing::Test {
 protected:
  std::unique_ptr<EventObserver> Make(int rank = 0) {
    auto events = ipc::EventWriter::Open(path_, rank);
    EXPECT_TRUE(events.ok()) << events.status();
    EventObserver::Options options;
    options.rank = rank;
    options.out = out_;
    options.err = err_;
    options.seconds = [this] { return now_; };
    return std::make_unique<EventObserver>(*std::move(events), std::move(options));
  }
  std::vector<ipc::ParsedEvent> Events(const std::string& type = "") const {
    std::vector<ipc::ParsedEvent> events;
    const std::string text = os::ReadFile(path_).value();
    for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
      auto event = ipc::ParseEvent({line.data(), line.size()});
      EXPECT_TRUE(event.ok()) << event.status();
      if (event.ok() && (type.empty() || event->type == type)) events.push_back(*event);
    }
    return events;
  }
  std::string Out() const { return os::ReadFile(folder_.path() + "/out").value(); }
  std::string Err() const { return os::ReadFile(folder_.path() + "/err").value(); }
  void TearDown() override {
    std::fclose(out_);
    std::fclose(err_);
  }

  TempFolder folder_;
  const std::string path_ = folder_.path() + "/rank0.events.jsonl";
  FILE* const out_ = std::fopen((folder_.path() + "/out").c_str(), "w");
  FILE* const err_ = std::fopen((folder_.path() + "/err").c_str(), "w");
  double now_ = 100;
};

TEST_F(Observer, WritesAtMostTenStepsASecond) {
  const auto observer = Make();
  for (int i = 0; i < 1000; ++i) {
    observer->OnStep({.epoch = 1, .iteration = i + 1, .iterations = 1000});
    now_ += 0.01;  // ten seconds in all
  }
  EXPECT_GE(Events("step").size(), 90u);
  EXPECT_LE(Events("step").size(), 100u);
}

TEST_F(Observer, WritesTheFirstStepAndTheEndOfACount) {
  const auto observer = Make();
  observer->OnStep({.epoch = 1,
                    .iteration = 1,
                    .iterations = 3,
                    .box_loss = 2.5,
                    .lr = 0.01,
                    .instances = 7,
                    .image_size = 64});
  for (int i = 1; i <= 50; ++i) observer->OnProgress(i, 50, "images");
  ASSERT_EQ(Events("step").size(), 1u);
  const nlohmann::json step = Events("step")[0].fields;
  EXPECT_EQ(step["iteration"], 1);
  EXPECT_EQ(step["boxLoss"], 2.5);
  EXPECT_EQ(step["imageSize"], 64);
  ASSERT_EQ(Events("progress").size(), 2u);
  EXPECT_EQ(Events("progress")[1].fields["done"], 50);
}

TEST_F(Observer, ShowsEachEpochAsALineOfATableAndAnEvent) {
  const auto observer = Make();
  engine::EpochReport report;
  report.epoch = 1;
  report.epochs = 2;
  report.box_loss = 1.25;
  report.metrics.map50 = 0.5;
  report.lr = {0.1, 0.01, 0.01};
  report.seconds = 3725;
  observer->OnEpoch(report);
  report.epoch = 2;
  observer->OnEpoch(report);
  const std::vector<std::string> lines = absl::StrSplit(Out(), '\n');
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_THAT(lines[0], HasSubstr("mAP50-95"));
  EXPECT_THAT(lines[1], HasSubstr("1/2"));
  EXPECT_THAT(lines[2], HasSubstr("2/2"));
  EXPECT_THAT(lines[2], HasSubstr("1:02:05"));
  EXPECT_EQ(lines[0].size(), lines[1].size());
  const nlohmann::json epoch = Events("epoch")[0].fields;
  EXPECT_EQ(epoch["map50"], 0.5);
  EXPECT_EQ(epoch["boxLoss"], 1.25);
  EXPECT_EQ(epoch["lr"].size(), 3u);
  ASSERT_TRUE(observer->last_epoch().has_value());
  EXPECT_EQ(observer->last_epoch()->epoch, 2);
}

TEST_F(Observer, LetsOnlyRankZeroSayWhereTheJobIs) {
  const auto observer = Make(1);
  observer->OnPhase("train");
  observer->OnBanner({"GPUs: 2"});
  observer->OnStep({});
  observer->OnEpoch({});
  observer->OnCheckpoint({});
  observer->OnProgress(1, 2, "images");
  EXPECT_TRUE(Events().empty());
  EXPECT_EQ(Out(), "");
  observer->OnWarning("a.jpg: unreadable");
  EXPECT_EQ(Events("warning").size(), 1u);
}

TEST_F(Observer, SaysAWarningOnce) {
  const auto observer = Make();
  observer->OnWarning("a.jpg: unreadable");
  observer->OnWarning("a.jpg: unreadable");
  EXPECT_EQ(Events("warning").size(), 1u);
  EXPECT_EQ(Err(), "warning: a.jpg: unreadable\n");
}

TEST_F(Observer, WritesBannerCheckpointResultAndError) {
  const auto observer = Make();
  observer->OnBanner({"GPUs: 2", "Total batch: 8"});
  observer->OnCheckpoint({.epoch = 3, .path = "/run/weights/last.pt", .kind = "last"});
  ASSERT_TRUE(observer->Result({{"train", {{"epochs", 3}}}}).ok());
  observer->Error(
      {.exit = ipc::kWorkerBadInput, .reason = "BAD_INPUT", .message = "a.txt:2: class 7"});
  EXPECT_EQ(Out(), "GPUs: 2\nTotal batch: 8\n");
  EXPECT_EQ(Err(), "yoke-worker: a.txt:2: class 7\n");
  const auto events = Events();
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].fields["lines"][1], "Total batch: 8");
  EXPECT_EQ(events[1].fields["path"], "/run/weights/last.pt");
  EXPECT_EQ(events[2].fields["train"]["epochs"], 3);
  EXPECT_EQ(events[3].fields["reason"], "BAD_INPUT");
  EXPECT_EQ(events[3].fields["message"], "a.txt:2: class 7");
}

// Loses every event, as a full disk does.
class BrokenWriter : public ipc::EventWriter {
  absl::Status Append(std::string_view, nlohmann::json) override {
    return absl::ResourceExhaustedError("No space left on device");
  }
  absl::Status Sync() override { return absl::OkStatus(); }
};

TEST_F(Observer, GoesOnWithoutEventsAndSaysSoOnceButAResultMustNotBeLost) {
  EventObserver observer(std::make_unique<BrokenWriter>(), {.out = out_, .err = err_});
  observer.OnPhase("train");
  observer.OnPhase("val");
  EXPECT_EQ(Err(), "yoke-worker: events are lost: No space left on device\n");
  EXPECT_FALSE(observer.Result(nlohmann::json::object()).ok());
}

}  // namespace
}  // namespace yoke::worker
