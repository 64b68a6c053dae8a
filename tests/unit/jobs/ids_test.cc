#include "server/jobs/ids.h"

#include <gtest/gtest.h>

#include <set>

namespace yoke::jobs {
namespace {

TEST(Ids, AreLongDistinctAndTheirOwnNames) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = NewJobId();
    EXPECT_EQ(id.size(), kJobIdLength);
    EXPECT_EQ(ParseJobName(JobName(id)).value_or(""), id);
    seen.insert(id);
  }
  EXPECT_EQ(seen.size(), 1000u);
}

TEST(Ids, OfALargeBatchBeginAlike) {
  const auto beginnings = [](size_t count) {
    std::set<std::string> seen, begin;
    std::vector<std::string> ids(count);
    for (std::string& id : ids) id = NewJobId();
    BeginAlike(ids);
    for (const std::string& id : ids) {
      EXPECT_EQ(ParseJobName(id).value_or(""), id);
      EXPECT_EQ(id.size(), kJobIdLength);
      seen.insert(id);
      begin.insert(id.substr(0, kMinPrefixLength));
    }
    EXPECT_EQ(seen.size(), count);
    return begin.size();
  };
  EXPECT_EQ(beginnings(0), 0u);
  EXPECT_EQ(beginnings(kLargeBatch), 1u);
  EXPECT_EQ(beginnings(1000), 1u);
  EXPECT_GT(beginnings(kLargeBatch - 1), 1u);
}

TEST(Ids, RefuseWhatCannotBeAnId) {
  for (const char* bad : {"", "abc", "jobs/", "jobs/ab1c", "ABCD", "abcd/efgh", "abcdefghijklmnopqrstuvwxyz2"}) {
    EXPECT_FALSE(ParseJobName(bad).ok()) << bad;
  }
  EXPECT_EQ(ParseJobName("abcd").value_or(""), "abcd");
}

}  // namespace
}  // namespace yoke::jobs
