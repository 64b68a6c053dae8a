// Sends what a FrameSource reads until its End: one loop for logs and metrics. Holds one frame; a
// reader that is slow blocks in Write, and then nothing is read from the file either.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/os/failpoint.h"
#include "grpcpp/support/sync_stream.h"
#include "server/service/durations.h"
#include "server/service/shared.h"
#include "server/streams/stream_reader.h"

namespace yoke::service {

// What is written within this time goes out as one frame.
inline constexpr absl::Duration kCoalesceInterval = absl::Milliseconds(10);

// OK after End; ShuttingDown(); Cancelled when the client went away; an error of the source.
template <typename Frame>
absl::Status Follow(const Shared& shared, const grpc::ServerContextBase& context,
                    streams::FrameSource<Frame>& source, grpc::ServerWriter<Frame>& writer) {
  absl::Time bookmark_due = absl::Now() + kBookmarkInterval;
  while (true) {
    YOKE_RETURN_IF_ERROR(shared.MayGoOn(context));
    YOKE_ASSIGN_OR_RETURN(std::optional<Frame> frame, source.Next(absl::ZeroDuration()));
    if (!frame.has_value()) {
      absl::SleepFor(kCoalesceInterval);
      YOKE_ASSIGN_OR_RETURN(frame, source.Next(kLookInterval));
    }
    if (!frame.has_value()) {
      if (absl::Now() < bookmark_due) continue;
      frame.emplace();
      *frame->mutable_bookmark()->mutable_time() = ToProto(absl::Now());
      frame->set_resume_token(source.ResumeToken());
    }
    YOKE_FAILPOINT("stream.write.before");
    if (!writer.Write(*frame)) return absl::CancelledError("the client went away");
    YOKE_FAILPOINT("stream.write.after");
    if (frame->has_end()) return absl::OkStatus();
    bookmark_due = absl::Now() + kBookmarkInterval;
  }
}

}  // namespace yoke::service
