// Calls and streams against a server that is not there, goes away, or breaks off.
#include <thread>

#include "absl/time/clock.h"
#include "client/lib/client.h"
#include "client/lib/exit_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/client/fake_daemon.h"

namespace yoke::client {
namespace {

using ::testing::HasSubstr;

class Calls : public ::testing::Test {
 protected:
  Calls() {
    daemon_.Start();
    v1::Job job;
    job.set_name("jobs/abc");
    job.set_state(v1::Job::SUCCEEDED);
    daemon_.AddJob(job);
  }

  std::unique_ptr<Client> Connect(absl::Duration patience = absl::Seconds(20), absl::Duration silence = absl::Seconds(20)) {
    ClientOptions options;
    options.server = *FindServer(daemon_.address(), [](const std::string&) { return ""; }, false);
    options.patience = patience;
    options.silence = silence;
    options.notice = [this](const std::string& sentence) {
      MutexLock lock(mutex_);
      notices_.push_back(sentence);
    };
    return Client::Make(std::move(options));
  }

  // The bytes that a follower gets.
  std::string Tail(Client& client, absl::Status* status) {
    std::string bytes;
    v1::TailLogsRequest request;
    request.set_name("abc");
    request.set_follow(true);
    *status = client.TailLogs(request, [&](const v1::TailLogsResponse& frame) {
      EXPECT_FALSE(frame.has_bookmark());
      bytes += frame.chunk().data();
      if (frame.has_end()) ended_ = true;
      return Next::kContinue;
    });
    return bytes;
  }

  void SetLog(int lines) {
    MutexLock lock(daemon_.world().mutex);
    for (int i = 0; i < lines; ++i) daemon_.world().log += "line " + std::to_string(i) + "\n";
  }
  std::string log() {
    MutexLock lock(daemon_.world().mutex);
    return daemon_.world().log;
  }
  void SetState(v1::Job::State state) {
    MutexLock lock(daemon_.world().mutex);
    daemon_.world().jobs["jobs/abc"].set_state(state);
  }

  FakeDaemon daemon_;
  bool ended_ = false;
  Mutex mutex_;
  std::vector<std::string> notices_ YOKE_GUARDED_BY(mutex_);
};

TEST_F(Calls, NoDaemonIsSaidAtOnceWithWhatToDo) {
  daemon_.Stop();
  const absl::Time began = absl::Now();
  const absl::Status status = Connect()->GetJob("abc").status();
  EXPECT_EQ(ExitCodeOf(status), kUnreachable);
  EXPECT_THAT(std::string(status.message()), ::testing::AllOf(HasSubstr("no daemon answers on " + daemon_.address()), HasSubstr("yoked &")));
  EXPECT_LT(absl::Now() - began, absl::Seconds(4));
}

TEST_F(Calls, AJobThatIsNotThere) {
  const auto client = Connect();
  EXPECT_TRUE(absl::IsNotFound(client->GetJob("zzz").status()));
  v1::TailLogsRequest request;
  request.set_name("zzz");
  EXPECT_TRUE(absl::IsNotFound(client->TailLogs(request, [](const auto&) { return Next::kContinue; })));
}

TEST_F(Calls, ASubmissionWhoseAnswerIsLostIsRepeatedUnderTheSameId) {
  {
    MutexLock lock(daemon_.world().mutex);
    daemon_.world().lost_answers = 2;
  }
  const auto job = Connect()->CreateJob(v1::CreateJobRequest());
  ASSERT_TRUE(job.ok()) << job.status();
  MutexLock lock(daemon_.world().mutex);
  ASSERT_EQ(daemon_.world().creates.size(), 3u);
  EXPECT_FALSE(daemon_.world().creates[0].request_id().empty());
  EXPECT_EQ(daemon_.world().creates[0].request_id(), daemon_.world().creates[2].request_id());
}

TEST_F(Calls, AllPagesAreTurned) {
  for (const char* name : {"jobs/a", "jobs/b"}) {
    v1::Job job;
    job.set_name(name);
    daemon_.AddJob(job);
  }
  const auto client = Connect();
  EXPECT_EQ(client->ListJobs("", 0)->jobs_size(), 3);
  EXPECT_EQ(client->ListJobs("", 2)->jobs_size(), 2);
}

TEST_F(Calls, WaitingGivesUpInTimeAndSurvivesARestart) {
  SetState(v1::Job::RUNNING);
  const auto client = Connect();
  EXPECT_TRUE(absl::IsDeadlineExceeded(client->WaitJob("abc", absl::Milliseconds(100)).status()));
  std::thread restart([&] {
    absl::SleepFor(absl::Milliseconds(100));
    daemon_.Stop();
    absl::SleepFor(absl::Milliseconds(300));
    SetState(v1::Job::CANCELLED);
    daemon_.Start();
  });
  const auto job = client->WaitJob("abc", absl::InfiniteDuration());
  restart.join();
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(ExitCodeOf(*job), kJobCancelled);
}

TEST_F(Calls, AStreamThatIsCutGivesEveryByteOnce) {
  SetLog(200);
  for (const grpc::StatusCode code : {grpc::UNAVAILABLE, grpc::OK}) {
    {
      MutexLock lock(daemon_.world().mutex);
      daemon_.world().frame_bytes = 97;
      daemon_.world().cut_after = 4;
      daemon_.world().cut_code = code;
      daemon_.world().streams_opened = 0;
    }
    absl::Status status;
    ended_ = false;
    EXPECT_EQ(Tail(*Connect(), &status), log());
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(ended_);
    MutexLock lock(daemon_.world().mutex);
    EXPECT_GT(daemon_.world().streams_opened, 3);
  }
}

TEST_F(Calls, AStreamGoesOnAfterTheServerWasAwayAndSaysSo) {
  SetLog(20);
  SetState(v1::Job::RUNNING);
  std::thread restart([&] {
    absl::SleepFor(absl::Milliseconds(200));
    daemon_.Stop();
    absl::SleepFor(absl::Milliseconds(700));
    SetLog(20);
    SetState(v1::Job::SUCCEEDED);
    daemon_.Start();
  });
  absl::Status status;
  const std::string bytes = Tail(*Connect(), &status);
  restart.join();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(bytes, log());
  MutexLock lock(mutex_);
  EXPECT_THAT(notices_, ::testing::ElementsAre(HasSubstr("reconnecting"), HasSubstr("back")));
}

TEST_F(Calls, AServerThatNeverComesBackEndsTheStreamInTheEnd) {
  SetLog(3);
  SetState(v1::Job::RUNNING);
  std::thread stop([&] {
    absl::SleepFor(absl::Milliseconds(100));
    daemon_.Stop();
  });
  absl::Status status;
  EXPECT_EQ(Tail(*Connect(absl::Milliseconds(400)), &status), log());
  stop.join();
  EXPECT_EQ(ExitCodeOf(status), kUnreachable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("did not come back"));
}

TEST_F(Calls, ASilentStreamIsOpenedAnew) {
  SetLog(3);
  {
    MutexLock lock(daemon_.world().mutex);
    daemon_.world().silent = true;
  }
  std::thread speak([&] {
    absl::SleepFor(absl::Milliseconds(700));
    MutexLock lock(daemon_.world().mutex);
    daemon_.world().silent = false;
  });
  absl::Status status;
  EXPECT_EQ(Tail(*Connect(absl::Seconds(20), absl::Milliseconds(200)), &status), log());
  speak.join();
  EXPECT_TRUE(status.ok()) << status;
  MutexLock lock(daemon_.world().mutex);
  EXPECT_GT(daemon_.world().streams_opened, 1);
}

TEST_F(Calls, AnInterruptEndsStreamsAndWaits) {
  SetState(v1::Job::RUNNING);
  const auto client = Connect();
  std::thread interrupt([&] {
    absl::SleepFor(absl::Milliseconds(150));
    client->Interrupt();
  });
  absl::Status status;
  Tail(*client, &status);
  interrupt.join();
  EXPECT_EQ(ExitCodeOf(status), kInterrupted);
  EXPECT_EQ(ExitCodeOf(client->WaitJob("abc", absl::Seconds(5)).status()), kInterrupted);
}

TEST_F(Calls, AReaderMayStop) {
  SetLog(100);
  SetState(v1::Job::RUNNING);
  v1::TailLogsRequest request;
  request.set_name("abc");
  request.set_follow(true);
  int frames = 0;
  EXPECT_TRUE(Connect()->TailLogs(request, [&](const auto&) { return ++frames == 3 ? Next::kStop : Next::kContinue; }).ok());
  EXPECT_EQ(frames, 3);
}

TEST_F(Calls, ANonceFileShowsThatFilesAreShared) { EXPECT_TRUE(*Connect()->SharesFiles()); }

}  // namespace
}  // namespace yoke::client
