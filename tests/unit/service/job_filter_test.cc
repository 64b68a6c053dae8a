// The filter language of ListJobs and WatchJobs.
#include "server/service/job_filter.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/service/errors.h"
#include "server/service/watch_token.h"

namespace yoke::service {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::Job MakeJob(v1::Job::State state, const std::string& owner, const std::string& name) {
  v1::Job job;
  job.set_state(state);
  job.set_owner(owner);
  job.set_display_name(name);
  return job;
}

JobQuery Parsed(const std::string& text) {
  const auto query = JobQuery::Parse(text);
  EXPECT_TRUE(query.ok()) << text << ": " << query.status();
  return query.value_or(JobQuery());
}

TEST(JobFilter, NothingMeansEverything) {
  EXPECT_TRUE(Parsed("").Matches(MakeJob(v1::Job::FAILED, "ann", "")));
  EXPECT_TRUE(Parsed("  ").store_filter().states.empty());
}

TEST(JobFilter, OrBindsTighterThanAnd) {
  for (const char* text : {"owner = \"ann\" AND state = QUEUED OR state = RUNNING",
                           "(state=RUNNING or state=QUEUED) and owner='ann'",
                           "state = QUEUED OR state = RUNNING AND owner = ann"}) {
    const JobQuery query = Parsed(text);
    EXPECT_TRUE(query.Matches(MakeJob(v1::Job::QUEUED, "ann", ""))) << text;
    EXPECT_TRUE(query.Matches(MakeJob(v1::Job::RUNNING, "ann", ""))) << text;
    EXPECT_FALSE(query.Matches(MakeJob(v1::Job::RUNNING, "bob", ""))) << text;
    EXPECT_FALSE(query.Matches(MakeJob(v1::Job::FAILED, "ann", ""))) << text;
    EXPECT_EQ(query.store_filter().states.size(), 2u) << text;
    EXPECT_EQ(query.store_filter().owner, "ann") << text;
  }
}

TEST(JobFilter, QuotesHoldWhatTheyHold) {
  const JobQuery query = Parsed(R"(display_name = "a \"b\" AND (c) = \\")");
  EXPECT_TRUE(query.Matches(MakeJob(v1::Job::QUEUED, "", R"(a "b" AND (c) = \)")));
  EXPECT_FALSE(query.Matches(MakeJob(v1::Job::QUEUED, "", "a")));
}

TEST(JobFilter, WhatTheStoreCannotAskIsStillMatched) {
  const JobQuery query = Parsed("owner = ann OR owner = bob");
  EXPECT_FALSE(query.store_filter().owner.has_value());
  EXPECT_TRUE(query.Matches(MakeJob(v1::Job::QUEUED, "bob", "")));
  EXPECT_FALSE(query.Matches(MakeJob(v1::Job::QUEUED, "eve", "")));
}

TEST(JobFilter, ContradictionsMatchNothingInsteadOfEverything) {
  const JobQuery query = Parsed("state = RUNNING AND state = QUEUED");
  EXPECT_TRUE(query.matches_nothing());
  EXPECT_FALSE(query.Matches(MakeJob(v1::Job::RUNNING, "", "")));
  EXPECT_THAT(Parsed("state = RUNNING AND state = RUNNING OR state = QUEUED").store_filter().states,
              ElementsAre(v1::Job::RUNNING));
}

TEST(JobFilter, MistakesAreNamedWithTheirPlace) {
  const std::vector<std::pair<std::string, std::string>> mistakes = {
      {"state = SLEEPING", "character 9: 'SLEEPING' is no state; there are QUEUED"},
      {"stat = RUNNING", "character 1: jobs are not filtered by 'stat'"},
      {"state RUNNING", "character 7: expected ="},
      {"state =", "character 8: expected a value for state"},
      {"state = RUNNING owner = a", "character 17: expected AND or OR, not 'owner'"},
      {"state = RUNNING OR owner = a", "OR joins conditions on one field, here state"},
      {"(state = RUNNING", "character 1: this parenthesis is not closed"},
      {"(state = RUNNING) OR state = QUEUED", "OR joins conditions, not groups"},
      {"owner = \"ann", "character 9: the quoted text does not end"},
      {"state != RUNNING", "character 7: '!' is not understood"},
      {"AND", "jobs are not filtered by 'AND'"},
      {"((((((((((state = RUNNING))))))))))", "too many parentheses"},
      {std::string(5000, ' '), "longer than 4096 bytes"},
  };
  for (const auto& [text, words] : mistakes) {
    const absl::Status status = JobQuery::Parse(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words)) << text;
    EXPECT_EQ(ReasonOf(status), "FILTER_INVALID") << text;
  }
}

TEST(WatchToken, ComesBackAndRefusesOthers) {
  for (const int64_t sequence : {int64_t{0}, int64_t{1}, int64_t{1} << 60})
    EXPECT_EQ(DecodeWatchToken(EncodeWatchToken(sequence)).value(), sequence);
  for (const char* token : {"x", "12", "????", "VzEgLTU=", "VzEg"}) {
    EXPECT_EQ(ReasonOf(DecodeWatchToken(token).status()), "RESUME_TOKEN_INVALID") << token;
  }
}

}  // namespace
}  // namespace yoke::service
