#include "common/ipc/attempt_files.h"

#include "common/os/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::ipc {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

AttemptSpec FullSpec() {
  AttemptSpec spec;
  spec.job = "jobs/abc";
  spec.attempt = 3;
  spec.run_id = "run-1";
  spec.attempt_dir = "/state/jobs/abc/attempts/3";
  spec.run_dir = "/state/jobs/abc/run";
  spec.cache_dir = "/state/cache";
  spec.worker = "/opt/bin/yoke-worker";
  spec.prepare = false;
  spec.backend = "nccl";
  spec.resume_from = "/state/jobs/old/run";
  spec.grace_seconds = 2.5;
  spec.ranks = {{{"GPU-1"}, 2}, {{"GPU-2", "GPU-3"}, 4}};
  spec.device_words = {"GPU 0: X"};
  spec.user_set = {"batch", "lr0"};
  spec.spec = {{"train", {{"batch", 16}}}};
  return spec;
}

TEST(AttemptFiles, SpecSurvivesTheFile) {
  TempFolder folder;
  const std::string path = folder.path() + "/spec.json";
  ASSERT_TRUE(WriteJsonFile(path, ToJson(FullSpec())).ok());
  const auto read = AttemptSpecFromJson(ReadJsonFile(path).value());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(ToJson(*read), ToJson(FullSpec()));
  EXPECT_EQ(read->ranks[1].devices, (std::vector<std::string>{"GPU-2", "GPU-3"}));
  EXPECT_EQ(read->ranks[1].threads, 4);
}

TEST(AttemptFiles, ExitRecordSurvivesTheFile) {
  ExitRecord record;
  record.run_id = "run-1";
  record.outcome = "failed";
  record.message = "Rank 1 was killed by signal 9 (SIGKILL).";
  record.has_first_failure = true;
  record.first_failure = {1, 0, 9};
  record.last_lines = {"one", "two"};
  record.ranks = {{0, 11, 0}, {1, 0, 9}};
  record.start_time = 10.25;
  record.end_time = 20.5;
  record.peak_rss_bytes = int64_t{5} << 32;
  record.killed_strays = 2;
  record.none_left = true;
  TempFolder folder;
  const std::string path = folder.path() + "/exit.json";
  ASSERT_TRUE(WriteJsonFile(path, ToJson(record)).ok());
  const auto read = ExitRecordFromJson(ReadJsonFile(path).value());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(ToJson(*read), ToJson(record));
  EXPECT_EQ(read->first_failure.signal, 9);
  EXPECT_THAT(read->last_lines, ElementsAre("one", "two"));
}

TEST(AttemptFiles, ASuccessHasNoFirstFailure) {
  ExitRecord record;
  record.outcome = "succeeded";
  const json object = ToJson(record);
  EXPECT_FALSE(object.contains("first_failure"));
  EXPECT_FALSE(ExitRecordFromJson(object)->has_first_failure);
}

TEST(AttemptFiles, StartAndStopSurvive) {
  const StartRecord start = {1, 4711, 123456789, "boot", "run-1"};
  EXPECT_EQ(ToJson(*StartRecordFromJson(ToJson(start))), ToJson(start));
  const StopRequest stop = {"time_limit", 1.5};
  EXPECT_EQ(ToJson(*StopRequestFromJson(ToJson(stop))), ToJson(stop));
}

TEST(AttemptFiles, IgnoresMembersOfALaterVersion) {
  json object = ToJson(FullSpec());
  object["protocol"] = 2;
  object["not_yet_known"] = {1, 2};
  const auto read = AttemptSpecFromJson(object);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->protocol, 2);
}

TEST(AttemptFiles, NamesTheBadMember) {
  json object = ToJson(FullSpec());
  object.erase("run_id");
  EXPECT_THAT(std::string(AttemptSpecFromJson(object).status().message()),
              HasSubstr("'run_id' is missing"));
  object = ToJson(FullSpec());
  object["attempt"] = "three";
  EXPECT_THAT(std::string(AttemptSpecFromJson(object).status().message()),
              HasSubstr("'attempt' must be a whole number"));
  object = ToJson(FullSpec());
  object["ranks"][1]["devices"] = {1};
  EXPECT_THAT(std::string(AttemptSpecFromJson(object).status().message()),
              HasSubstr("'devices' must be a list of strings"));
  object["attempt"] = int64_t{1} << 40;
  EXPECT_FALSE(AttemptSpecFromJson(object).ok());
  for (const json& wrong : {json(), json(3), json::array(), json("x")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(AttemptSpecFromJson(wrong).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(ExitRecordFromJson(wrong).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(StartRecordFromJson(wrong).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(StopRequestFromJson(wrong).status()));
  }
}

TEST(AttemptFiles, TellsMissingFromBroken) {
  TempFolder folder;
  const std::string path = folder.path() + "/file.json";
  EXPECT_TRUE(absl::IsNotFound(ReadJsonFile(path).status()));
  ASSERT_TRUE(os::AtomicWriteFile(path, "{\"torn\": ").ok());
  const auto broken = ReadJsonFile(path);
  EXPECT_TRUE(absl::IsInvalidArgument(broken.status()));
  EXPECT_THAT(std::string(broken.status().message()), HasSubstr(path));
}

TEST(AttemptFiles, WritesWhatIsNotUtf8) {
  TempFolder folder;
  const std::string path = folder.path() + "/exit.json";
  ExitRecord record;
  record.has_first_failure = true;
  record.last_lines = {"caf\xe9"};
  ASSERT_TRUE(WriteJsonFile(path, ToJson(record)).ok());
  EXPECT_TRUE(ReadJsonFile(path).ok());
}

}  // namespace
}  // namespace yoke::ipc
