// One follower: sends what a FrameSource reads until its End. It holds one frame, and no thread:
// the pump gives it turns, and while its client does not take the last frame nothing is read from
// the files either.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "common/os/clock.h"
#include "common/os/failpoint.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "server/service/durations.h"
#include "server/service/errors.h"
#include "server/service/shared.h"
#include "server/streams/pump.h"
#include "server/streams/stream_reader.h"

namespace yoke::service {

// A client that takes nothing for so long is cut off: it goes on by its token. Keepalive does not
// find all of them, as a ping cannot be sent behind bytes that a full socket does not take. Nor can
// the end of the call: until the client moves, a frame and the connection are kept for it.
inline constexpr absl::Duration kTakesNothingMax = absl::Seconds(45);

// The call ends with OK after End; ShuttingDown(); an error of the source; nobody hears how once
// the client went away.
template <typename Frame>
class Following final : public grpc::ServerWriteReactor<Frame>, public streams::Tailer {
 public:
  using Source = std::unique_ptr<streams::FrameSource<Frame>>;
  using Open = std::function<absl::StatusOr<Source>(const grpc::ServerContextBase&)>;

  // For gRPC, which it outlives the call by. `open` checks the request and makes the source; it
  // runs on the pump.
  static grpc::ServerWriteReactor<Frame>* Begin(Shared& shared, streams::Pump& pump,
                                                grpc::CallbackServerContext& context, Open open) {
    const std::shared_ptr<Following> following(
        new Following(shared, pump, context, std::move(open)));
    following->self_ = following;
    if (!pump.Add(following)) {
      following->Finish(
          ToGrpc(Exhausted("the daemon serves as many readers of logs and metrics as it can; end "
                           "some, or try again later",
                           "TOO_MANY_STREAMS", absl::Seconds(5))));
    }
    return following.get();
  }

  // On a thread of the pump.
  streams::Wait TakeTurn() override {
    turned_ = true;  // before that look: who ends the write looks at it afterwards
    if (writing_) return WhileWriting();
    turned_ = false;
    if (shared_.stopping()) return End(ShuttingDown());
    if (gone_) return End(absl::CancelledError("the client went away"));
    if (source_ == nullptr) {
      absl::StatusOr<Source> opened = open_(context_);
      if (!opened.ok()) return End(opened.status());
      source_ = *std::move(opened);
    }
    if (job_changed_.exchange(false)) source_->JobChanged();
    frame_.Clear();
    const absl::StatusOr<streams::Pull> pull = source_->Next(frame_);
    if (!pull.ok()) return End(pull.status());
    quiet_ = false;
    if (*pull == streams::Pull::kFrame) {
      streams::Wait wait = Send();
      wait.found = true;
      return wait;
    }
    const bool bookmark = os::BootMilliseconds() >= bookmark_due_ms_;
    if (!bookmark && *pull == streams::Pull::kMore) return {.kind = streams::Wait::Kind::kTurn};
    if (bookmark) bookmark_due_ms_ = NextBookmark();
    waiting_ = source_->Waiting();
    waiting_.due_ms = std::min(waiting_.due_ms, bookmark_due_ms_);
    if (!bookmark) return waiting_;
    quiet_ = *pull == streams::Pull::kNothing;
    const int64_t due_ms = waiting_.due_ms;
    *frame_.mutable_bookmark()->mutable_time() = ToProto(absl::Now());
    frame_.set_resume_token(source_->ResumeToken());
    streams::Wait wait = Send();
    if (quiet_ && !gone_) wait.due_ms = due_ms;
    return wait;
  }

  void JobChanged() override { job_changed_ = true; }

  // On threads of gRPC.
  void OnWriteDone(bool ok) override {
    if (!ok) gone_ = true;
    const bool quiet = quiet_;
    writing_ = false;
    // Nothing was to be read behind a bookmark, and nobody told of anything since.
    if (ok && quiet && !turned_) return;
    pump_.Wake(this);
  }
  void OnCancel() override {
    gone_ = true;
    pump_.Wake(this);
  }
  void OnDone() override { self_.reset(); }

 private:
  Following(Shared& shared, streams::Pump& pump, grpc::CallbackServerContext& context, Open open)
      : shared_(shared), pump_(pump), context_(context), open_(std::move(open)) {}

  // The client takes its time, but not for ever; a daemon that stops does not wait for it at all.
  streams::Wait WhileWriting() {
    const int64_t since_ms = os::BootMilliseconds() - write_begun_ms_;
    if (shared_.stopping() || since_ms > absl::ToInt64Milliseconds(kTakesNothingMax)) {
      context_.TryCancel();
      gone_ = true;
      source_.reset();
      waiting_ = {};
    }
    streams::Wait wait = waiting_;
    wait.due_ms =
        gone_ ? streams::kNever : write_begun_ms_ + absl::ToInt64Milliseconds(kTakesNothingMax) + 1;
    return wait;
  }

  streams::Wait Send() {
    bookmark_due_ms_ = NextBookmark();
    YOKE_FAILPOINT("stream.write.before");
    if (frame_.has_end()) {
      this->StartWriteAndFinish(&frame_, grpc::WriteOptions(), grpc::Status::OK);
      YOKE_FAILPOINT("stream.write.after");
      return {.kind = streams::Wait::Kind::kGone};
    }
    writing_ = true;
    write_begun_ms_ = os::BootMilliseconds();
    this->StartWrite(&frame_);
    YOKE_FAILPOINT("stream.write.after");
    return WhileWriting();
  }

  streams::Wait End(const absl::Status& status) {
    source_.reset();
    this->Finish(ToGrpc(status));
    return {.kind = streams::Wait::Kind::kGone};
  }

  static int64_t NextBookmark() {
    return os::BootMilliseconds() + absl::ToInt64Milliseconds(kBookmarkInterval);
  }

  Shared& shared_;
  streams::Pump& pump_;
  grpc::CallbackServerContext& context_;
  const Open open_;
  std::shared_ptr<Following> self_;  // until gRPC is done with it
  std::atomic<bool> writing_ = false, gone_ = false, job_changed_ = false;
  // A turn found `writing_`, and did nothing; there was nothing more to read when the write began.
  std::atomic<bool> turned_ = false, quiet_ = false;
  // Of the turns.
  Source source_;
  Frame frame_;
  streams::Wait waiting_;
  int64_t bookmark_due_ms_ = NextBookmark(), write_begun_ms_ = 0;
};

}  // namespace yoke::service
