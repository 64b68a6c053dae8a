// WatchJobs: every change once and in order, also across a reconnect.
#include <map>
#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/integration/service/server.h"

namespace yoke::service {
namespace {

class Watch : public ApiTest {
 protected:
  struct Stream {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::WatchJobsResponse>> reader;
    ~Stream() {
      context.TryCancel();
      if (reader != nullptr) reader->Finish();
    }
    v1::WatchJobsResponse Next() {
      v1::WatchJobsResponse frame;
      EXPECT_TRUE(reader->Read(&frame));
      return frame;
    }
    // The next frame that is no bookmark.
    v1::WatchJobsResponse NextJob() {
      v1::WatchJobsResponse frame = Next();
      while (!frame.has_job() && !frame.resume_token().empty()) frame = Next();
      return frame;
    }
  };

  std::unique_ptr<Stream> Open(const std::string& token, const std::string& filter = "") {
    auto stream = std::make_unique<Stream>();
    v1::WatchJobsRequest request;
    request.set_resume_token(token);
    request.set_filter(filter);
    stream->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    stream->reader = jobs_->WatchJobs(&stream->context, request);
    return stream;
  }

  // Frames after `token` until the job has ended, as "STATE etag"; a new connection after every
  // `cut` frames.
  std::vector<std::string> WatchToEnd(std::string token, int cut) {
    std::vector<std::string> changes;
    while (true) {
      const auto stream = Open(token);
      for (int i = 0; i < cut; ++i) {
        const v1::WatchJobsResponse frame = stream->NextJob();
        if (!frame.has_job()) return changes;
        token = frame.resume_token();
        changes.push_back(v1::Job::State_Name(frame.job().state()) + " " + frame.job().etag());
        if (frame.job().state() == v1::Job::SUCCEEDED) return changes;
      }
    }
  }
};

TEST_F(Watch, FromAListOnNothingIsMissedAndNothingComesTwiceHoweverOftenItIsCut) {
  Script(R"({"run_for": 0.5})");
  Start();
  grpc::ClientContext context;
  v1::ListJobsResponse list;
  ASSERT_TRUE(jobs_->ListJobs(&context, {}, &list).ok());
  const std::string id = Submit("0");
  const std::vector<std::string> live = WatchToEnd(list.resume_token(), 2);
  const std::vector<std::string> later = WatchToEnd(list.resume_token(), 1000);
  EXPECT_EQ(live, later);
  std::vector<std::string> states;
  for (const std::string& change : later) {
    const std::string state = change.substr(0, change.find(' '));
    if (states.empty() || states.back() != state) states.push_back(state);
  }
  EXPECT_THAT(states, testing::ElementsAre("QUEUED", "STARTING", "RUNNING", "SUCCEEDED"));
}

TEST_F(Watch, WithoutATokenItBeginsNowWithABookmarkToContinueFrom) {
  Start();
  const std::string before = Submit("0");
  WaitForEnd(before);
  std::string token;
  {
    const auto stream = Open("");
    const v1::WatchJobsResponse bookmark = stream->Next();
    EXPECT_FALSE(bookmark.has_job());
    token = bookmark.resume_token();
  }
  const std::string after = Submit("0");
  EXPECT_EQ(Open(token)->NextJob().job().name(), "jobs/" + after);
}

TEST_F(Watch, FiltersWhatItSends) {
  Script(R"({"run_for": 0.1})");
  Start();
  const auto stream = Open("", "state = SUCCEEDED");
  stream->Next();
  const std::string id = Submit("0");
  const v1::Job job = stream->NextJob().job();
  EXPECT_EQ(job.name(), "jobs/" + id);
  EXPECT_EQ(job.state(), v1::Job::SUCCEEDED);
}

TEST_F(Watch, TokensThatAreNoneAreRefused) {
  Start();
  const std::map<std::string, std::string> tokens = {{"nonsense", "RESUME_TOKEN_INVALID"},
                                                     {"VzEgOTk5OTk5", "RESUME_TOKEN_EXPIRED"}};
  for (const auto& [token, reason] : tokens) {
    const auto stream = Open(token);
    v1::WatchJobsResponse frame;
    EXPECT_FALSE(stream->reader->Read(&frame));
    EXPECT_EQ(Reason(stream->reader->Finish()), reason);
    stream->reader.reset();
  }
}

TEST_F(Watch, EndsWhenTheDaemonStopsAndLaterOnesEndAtOnce) {
  Start();
  const auto stream = Open("");
  stream->Next();
  services_->Shutdown();
  v1::WatchJobsResponse frame;
  while (stream->reader->Read(&frame)) {
  }
  const grpc::Status status = stream->reader->Finish();
  stream->reader.reset();
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(Reason(status), "SHUTTING_DOWN");
  const auto late = Open("");
  EXPECT_FALSE(late->reader->Read(&frame));
  EXPECT_EQ(Reason(late->reader->Finish()), "SHUTTING_DOWN");
  late->reader.reset();
}

}  // namespace
}  // namespace yoke::service
