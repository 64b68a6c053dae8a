// The verdicts of CheckSystem.
#include "server/service/system_check.h"

#include <map>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::service {
namespace {

using Item = v1::CheckSystemResponse::Item;
using ::testing::HasSubstr;

std::map<std::string, Item> Items(const v1::CheckSystemResponse& response) {
  std::map<std::string, Item> items;
  for (const Item& item : response.items()) items[item.name()] = item;
  return items;
}

std::map<std::string, Item> WorkerItems(const absl::StatusOr<std::string>& probe, bool has_gpus) {
  v1::CheckSystemResponse response;
  CheckWorker(probe, has_gpus, response);
  return Items(response);
}

TEST(SystemCheck, AWorkerThatAnswersIsFitAndItsWordsAreShown) {
  auto items =
      WorkerItems(std::string(R"({"torch": "2.11.0", "cuda": false, "openmp": 4})"), false);
  EXPECT_EQ(items["worker"].verdict(), Item::OK);
  EXPECT_EQ(items["worker"].fields().at("openmp"), "4");
  EXPECT_EQ(items["libtorch"].message(), "2.11.0");
  EXPECT_EQ(items["cuda"].verdict(), Item::OK);
}

TEST(SystemCheck, WhatWasMendedAtTheStartIsAWarningEach) {
  const TempFolder folder;
  v1::CheckSystemResponse response;
  CheckMachine({"1.0", folder.path(), absl::Now(), 10, {"the database was damaged", "2 jobs"}}, response);
  std::vector<std::string> warnings;
  for (const Item& item : response.items()) {
    if (item.name() != "state") continue;
    EXPECT_EQ(item.verdict(), Item::WARNING);
    warnings.push_back(item.message());
  }
  EXPECT_EQ(warnings, (std::vector<std::string>{"the database was damaged", "2 jobs"}));
}

TEST(SystemCheck, GpusThatLibTorchCannotUseAreAFailureWithItsReason) {
  auto items = WorkerItems(std::string(R"({"torch": "2.11.0", "cuda": "driver too old"})"), true);
  EXPECT_EQ(items["cuda"].verdict(), Item::FAILED);
  EXPECT_THAT(items["cuda"].message(), HasSubstr("driver too old"));
  EXPECT_EQ(
      WorkerItems(std::string(R"({"torch": "2.11.0", "cuda": true})"), true)["cuda"].verdict(),
      Item::OK);
}

TEST(SystemCheck, AWorkerThatDoesNotAnswerFails) {
  EXPECT_THAT(WorkerItems(absl::InternalError("no such file"), false)["worker"].message(),
              HasSubstr("no such file"));
  for (const char* text : {"", "hello", "[1]"})
    EXPECT_EQ(WorkerItems(std::string(text), false)["worker"].verdict(), Item::FAILED) << text;
}

TEST(SystemCheck, TheMachineIsMeasured) {
  const TempFolder folder;
  v1::CheckSystemResponse response;
  CheckMachine({"1.2.3", folder.path(), absl::Now()}, response);
  auto items = Items(response);
  EXPECT_THAT(items["yoked"].message(), HasSubstr("1.2.3"));
  EXPECT_GE(std::stoi(items["cpu"].fields().at("cores")), 1);
  EXPECT_GT(std::stoll(items["memory"].fields().at("totalBytes")), 0);
  EXPECT_GT(std::stoll(items["disk"].fields().at("freeBytes")), 0);
  v1::CheckSystemResponse nowhere;
  CheckMachine({"1.2.3", folder.path() + "/none", absl::Now()}, nowhere);
  EXPECT_EQ(Items(nowhere)["disk"].verdict(), Item::FAILED);
}

}  // namespace
}  // namespace yoke::service
