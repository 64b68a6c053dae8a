// TailLogs and TailMetrics: every byte and event once, End last.
#include <atomic>
#include <climits>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <list>
#include <map>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/integration/service/server.h"

namespace yoke::service {
namespace {

class Streams : public ApiTest {
 protected:
  struct Logs {
    std::map<int, std::string> bytes;  // by rank
    std::vector<std::string> tokens;   // after each frame
    bool ended = false;
    v1::End end;
    int after_end = 0;
    grpc::Status status;
  };

  static v1::TailLogsRequest Request(const std::string& id, bool follow) {
    v1::TailLogsRequest request;
    request.set_name("jobs/" + id);
    request.set_follow(follow);
    return request;
  }

  // Reads until the stream ends, or `frames` of it.
  Logs Read(const v1::TailLogsRequest& request, int frames = INT_MAX) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    const auto reader = streams_->TailLogs(&context, request);
    Logs logs;
    v1::TailLogsResponse frame;
    bool open = true;
    for (; frames > 0 && (open = reader->Read(&frame)); --frames) {
      logs.after_end += logs.ended;
      if (frame.has_chunk()) logs.bytes[frame.chunk().rank()] += frame.chunk().data();
      if (frame.has_end()) {
        logs.ended = true;
        logs.end = frame.end();
      }
      logs.tokens.push_back(frame.resume_token());
    }
    if (open) context.TryCancel();
    while (open && reader->Read(&frame)) {
    }
    logs.status = reader->Finish();
    return logs;
  }

  // What the ranks of attempt 1 wrote.
  std::map<int, std::string> Files(const std::string& id, int ranks) {
    std::map<int, std::string> files;
    for (int rank = 0; rank < ranks; ++rank) {
      std::ifstream file(absl::StrCat(core_->control().AttemptDir(id, 1), "/rank", rank, ".log"));
      files[rank] = std::string((std::istreambuf_iterator<char>(file)), {});
      EXPECT_FALSE(files[rank].empty());
    }
    return files;
  }
};

TEST_F(Streams, AFollowerReadsEveryByteOfEveryRankAndEndComesLast) {
  Script(R"({"run_for": 1, "lines_per_second": 200})");
  Start();
  const std::string id = Submit("0,1");
  const Logs logs = Read(Request(id, true));
  EXPECT_TRUE(logs.status.ok()) << logs.status.error_message();
  EXPECT_TRUE(logs.ended);
  EXPECT_EQ(logs.after_end, 0);
  EXPECT_EQ(logs.end.state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(logs.end.reason(), v1::JobReason::COMPLETED);
  EXPECT_EQ(logs.bytes, Files(id, 2));
  // 400 lines were coalesced: not a frame for each.
  EXPECT_LT(logs.tokens.size(), 300u);
}

TEST_F(Streams, CutAnywhereAndResumedEveryByteComesOnce) {
  Script(R"({"run_for": 1, "lines_per_second": 100})");
  Start();
  const std::string id = Submit("0,1");
  v1::TailLogsRequest request = Request(id, true);
  std::map<int, std::string> all;
  int connections = 0;
  for (bool ended = false; !ended && connections < 200; ++connections) {
    const Logs logs = Read(request, 3);
    for (const auto& [rank, bytes] : logs.bytes) all[rank] += bytes;
    if (!logs.tokens.empty()) request.set_resume_token(logs.tokens.back());
    ended = logs.ended;
  }
  EXPECT_GT(connections, 3);
  EXPECT_EQ(all, Files(id, 2));
}

TEST_F(Streams, AfterwardsAnyTokenLeadsToTheSameEnd) {
  Script(R"({"run_for": 0.3, "lines_per_second": 100})");
  Start();
  const std::string id = Submit("0,1");
  const Logs live = Read(Request(id, true));
  const std::map<int, std::string> files = Files(id, 2);
  v1::TailLogsRequest request = Request(id, false);
  request.set_resume_token(live.tokens.back());
  const Logs rest = Read(request);
  EXPECT_TRUE(rest.ended);
  EXPECT_TRUE(rest.bytes.empty());
  request.set_resume_token(live.tokens.front());
  Logs middle = Read(request);
  for (const auto& [rank, bytes] : files) {
    EXPECT_THAT(bytes, testing::EndsWith(middle.bytes[rank]));
  }
  EXPECT_TRUE(middle.ended);
}

TEST_F(Streams, OneRankOnlyAndTheLastLinesOnly) {
  Script(R"({"run_for": 0.2, "lines_per_second": 50})");
  Start();
  const std::string id = Submit("0,1");
  WaitForEnd(id);
  v1::TailLogsRequest request = Request(id, false);
  request.set_rank(1);
  request.set_tail_lines(2);
  const Logs logs = Read(request);
  ASSERT_EQ(logs.bytes.size(), 1u);
  EXPECT_EQ(logs.bytes.at(1), "rank 1 epoch 3 step 9\nrank 1 epoch 3 step 10\n");
  request.set_rank(-7);
  EXPECT_EQ(Read(request).status.error_code(), grpc::INVALID_ARGUMENT);
  request.set_rank(2);
  const grpc::Status none = Read(request).status;
  EXPECT_EQ(none.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(none.error_message(), testing::HasSubstr("rank=2: jobs/" + id + " has ranks 0 to 1"));
}

TEST_F(Streams, WithoutFollowARunningJobsStreamEndsWithWhatIsThere) {
  Script(R"({"run_for": 60, "lines": ["hello"]})");
  Start();
  const std::string id = Submit("0");
  WaitFor(id, [](const v1::Job& job) { return job.progress().done() > 0; });
  const Logs logs = Read(Request(id, false));
  EXPECT_TRUE(logs.ended);
  EXPECT_EQ(logs.end.state(), v1::Job::RUNNING);
  EXPECT_THAT(logs.bytes.at(0), testing::StartsWith("hello\n"));
}

TEST_F(Streams, AFailedJobsEndSaysWhichRankAndHow) {
  Script(R"({"run_for": 0.1, "exit_code": 3, "ranks": {"0": {"run_for": 60}}})");
  Start();
  const Logs logs = Read(Request(Submit("0,1"), true));
  ASSERT_TRUE(logs.ended);
  EXPECT_EQ(logs.end.state(), v1::Job::FAILED);
  EXPECT_EQ(logs.end.error().rank(), 1);
  EXPECT_EQ(logs.end.error().exit_code(), 3);
}

TEST_F(Streams, TokensOfOtherJobsAndJobsThatAreNotThereAreRefused) {
  Script(R"({"run_for": 0.1})");
  Start();
  const std::string a = Submit("0"), b = Submit("1");
  const Logs logs = Read(Request(a, true));
  v1::TailLogsRequest request = Request(b, false);
  request.set_resume_token(logs.tokens.back());
  const Logs other = Read(request);
  EXPECT_EQ(other.status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(Reason(other.status), "RESUME_TOKEN_INVALID");
  EXPECT_EQ(Read(Request("aaaaaaaaaaaa", true)).status.error_code(), grpc::NOT_FOUND);
}

TEST_F(Streams, AStreamOutlivesTheDaemonByItsToken) {
  Script(R"({"run_for": 2, "lines_per_second": 100})");
  Start();
  const std::string id = Submit("0");
  WaitForState(id, v1::Job::RUNNING);
  Logs first;
  std::thread follower([&] { first = Read(Request(id, true)); });
  absl::SleepFor(absl::Milliseconds(500));
  Stop();
  follower.join();
  EXPECT_FALSE(first.ended);
  EXPECT_EQ(first.status.error_code(), grpc::UNAVAILABLE);
  ASSERT_FALSE(first.tokens.empty());
  Start();
  v1::TailLogsRequest request = Request(id, true);
  request.set_resume_token(first.tokens.back());
  const Logs second = Read(request);
  EXPECT_TRUE(second.ended);
  EXPECT_EQ(first.bytes[0] + second.bytes.at(0), Files(id, 1).at(0));
}

TEST_F(Streams, AReaderThatDoesNotReadHoldsUpNeitherTheJobNorTheEnd) {
  Script(R"({"run_for": 1, "lines_per_second": 2000, "ranks": {"0": {"lines": []}}})");
  Start();
  const std::string id = Submit("0");
  grpc::ClientContext context;
  const auto sleeper = streams_->TailLogs(&context, Request(id, true));
  EXPECT_EQ(WaitForEnd(id).state(), v1::Job::SUCCEEDED);
  std::string bytes;
  bool ended = false;
  for (v1::TailLogsResponse frame; sleeper->Read(&frame); ended = frame.has_end())
    bytes += frame.chunk().data();
  EXPECT_TRUE(ended);
  EXPECT_EQ(bytes, Files(id, 1).at(0));
  EXPECT_TRUE(sleeper->Finish().ok());
}

TEST_F(Streams, AFilteredStreamThatIsCutAnywhereGivesEveryWantedLineOnce) {
  Script(R"({"run_for": 1, "lines_per_second": 100})");
  Start();
  const std::string id = Submit("0,1");
  v1::TailLogsRequest request = Request(id, true);
  request.set_pattern("step \\d*5$");
  std::map<int, std::string> all, expected;
  int connections = 0;
  for (bool ended = false; !ended && connections < 200; ++connections) {
    const Logs logs = Read(request, 2);
    for (const auto& [rank, bytes] : logs.bytes) all[rank] += bytes;
    if (!logs.tokens.empty()) request.set_resume_token(logs.tokens.back());
    ended = logs.ended;
  }
  for (const auto& [rank, bytes] : Files(id, 2)) {
    for (const absl::string_view line : absl::StrSplit(bytes, '\n')) {
      if (absl::EndsWith(line, "5")) absl::StrAppend(&expected[rank], line, "\n");
    }
  }
  EXPECT_GT(connections, 2);
  EXPECT_EQ(all, expected);
}

TEST_F(Streams, WhatCannotBeChosenByIsRefusedByItsField) {
  Start();
  const std::string id = Submit("0");
  v1::TailLogsRequest request = Request(id, false);
  request.set_pattern("(");
  Logs refused = Read(request);
  EXPECT_EQ(refused.status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(Reason(refused.status), "PATTERN_INVALID");
  EXPECT_EQ(Fields(refused.status), std::vector<std::string>({"pattern"}));
  request = Request(id, true);
  request.mutable_until()->set_seconds(1);
  EXPECT_EQ(Fields(Read(request).status), std::vector<std::string>({"until"}));
  request = Request(id, true);
  request.set_min_level(static_cast<v1::TailLogsRequest::Level>(9));
  EXPECT_EQ(Fields(Read(request).status), std::vector<std::string>({"min_level"}));
}

TEST_F(Streams, AThousandFollowersHaveNoThreadAndAllHearTheEnd) {
  Script(R"({"run_for": 3, "lines_per_second": 1, "lines": ["begun"]})");
  Start();
  const std::string id = Submit("0");
  WaitForState(id, v1::Job::RUNNING);
  const auto threads = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {}); };
  struct Reader : grpc::ClientReadReactor<v1::TailLogsResponse> {
    void OnReadDone(bool ok) override {
      if (!ok) return;
      ended = ended || frame.has_end();
      bytes += frame.chunk().data();
      StartRead(&frame);
    }
    void OnDone(const grpc::Status&) override { ++*done; }
    grpc::ClientContext context;
    v1::TailLogsResponse frame;
    std::string bytes;
    bool ended = false;
    std::atomic<int>* done = nullptr;
  };
  std::atomic<int> done = 0;
  std::vector<std::unique_ptr<v1::StreamService::Stub>> stubs;
  const v1::TailLogsRequest request = Request(id, true);
  const auto follow = [&](std::list<Reader>& readers) {
    if (readers.size() % 100 == 0) stubs.push_back(v1::StreamService::NewStub(Connect()));
    Reader& reader = readers.emplace_back();
    reader.done = &done;
    stubs.back()->async()->TailLogs(&reader.context, &request, &reader);
    reader.StartRead(&reader.frame);
    reader.StartCall();
  };
  std::list<Reader> readers;
  for (int i = 0; i < 10; ++i) follow(readers);
  absl::SleepFor(absl::Milliseconds(300));
  const auto before = threads();
  while (readers.size() < 1000) follow(readers);
  EXPECT_EQ(WaitForEnd(id).state(), v1::Job::SUCCEEDED);
  EXPECT_LT(threads(), before + 30);
  for (int i = 0; i < 1000 && done < 1000; ++i) absl::SleepFor(absl::Milliseconds(20));
  ASSERT_EQ(done, 1000);
  const std::string file = Files(id, 1).at(0);
  for (const Reader& reader : readers) {
    EXPECT_TRUE(reader.ended);
    EXPECT_EQ(reader.bytes, file);
  }
}

TEST_F(Streams, EventsComeOnceInOrderAndByType) {
  Script(R"({"run_for": 0.5, "lines_per_second": 40})");
  Start();
  const std::string id = Submit("0");
  v1::TailMetricsRequest request;
  request.set_name(id);
  request.set_follow(true);
  std::vector<std::string> types;
  int64_t last = 0;
  bool ended = false;
  // Cut after every third frame.
  for (int connections = 0; !ended && connections < 100; ++connections) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    const auto reader = streams_->TailMetrics(&context, request);
    v1::TailMetricsResponse frame;
    for (int i = 0; i < 3 && !ended && reader->Read(&frame); ++i) {
      request.set_resume_token(frame.resume_token());
      ended = frame.has_end();
      if (!frame.has_event()) continue;
      EXPECT_EQ(frame.event().seq(), last + 1);
      last = frame.event().seq();
      types.push_back(frame.event().type());
    }
    context.TryCancel();
    while (reader->Read(&frame)) {
    }
    reader->Finish();
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(types.front(), "phase");
  EXPECT_EQ(types.back(), "result");
  grpc::ClientContext context;
  request.set_resume_token("");
  request.add_types("epoch");
  const auto reader = streams_->TailMetrics(&context, request);
  int epochs = 0;
  for (v1::TailMetricsResponse frame; reader->Read(&frame);) {
    if (!frame.has_event()) continue;
    EXPECT_EQ(frame.event().type(), "epoch");
    EXPECT_EQ(frame.event().fields().fields().at("epoch").number_value(), ++epochs);
  }
  EXPECT_EQ(epochs, 3);
}

}  // namespace
}  // namespace yoke::service
