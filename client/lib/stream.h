// A server stream that survives the server: reads frames, remembers the token after the last one, and opens
// the stream anew from there when it was cut. Used by client.cc; a header of its own for its test's sake.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/lib/call_error.h"
#include "client/lib/client.h"
#include "common/os/clock.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/support/async_stream.h"

namespace yoke::client {

// What Resume needs from its surroundings.
struct StreamHost {
  absl::Duration patience, silence;
  std::function<void(const std::string&)> notice;
  std::function<bool()> interrupted;
  // A context with the caller's credentials.
  std::function<std::unique_ptr<grpc::ClientContext>()> make_context;
  // Sleeps; returns early when interrupted.
  std::function<void(absl::Duration)> pause;
};

// What a frame means to the reader.
enum class FrameKind {
  kData,
  kBookmark,  // only moves the token
  kEnd,       // data, and the last
};

// Reads one opened stream until it ends. OK: End was seen or the reader stopped (`*finished` is set) or
// the server closed it; `*progress` is set when any frame arrived.
template <typename Response>
absl::Status ReadStream(grpc::ClientAsyncReader<Response>& reader, grpc::CompletionQueue& queue, grpc::ClientContext& context,
                        const StreamHost& host, const std::function<Next(const Response&)>& on_frame,
                        const std::function<FrameKind(const Response&)>& classify, bool* progress, bool* finished) {
  Response frame;
  // Waits for the outstanding operation; cuts the call when it takes too long or the user interrupts.
  auto wait = [&]() -> bool {
    const int64_t deadline = os::BootMilliseconds() + absl::ToInt64Milliseconds(host.silence);
    while (true) {
      void* tag = nullptr;
      bool ok = false;
      const auto slice = std::chrono::system_clock::now() + std::chrono::milliseconds(100);
      if (queue.AsyncNext(&tag, &ok, slice) == grpc::CompletionQueue::GOT_EVENT) return ok;
      if (host.interrupted() || os::BootMilliseconds() > deadline) context.TryCancel();
    }
  };
  bool open = wait();  // StartCall
  while (open && !*finished) {
    reader.Read(&frame, nullptr);
    open = wait();
    if (!open) break;
    *progress = true;
    const FrameKind kind = classify(frame);
    const Next next = kind == FrameKind::kBookmark ? Next::kContinue : on_frame(frame);
    if (kind == FrameKind::kEnd || next == Next::kStop) *finished = true;
  }
  if (*finished) context.TryCancel();
  grpc::Status status;
  reader.Finish(&status, nullptr);
  wait();
  return *finished ? absl::OkStatus() : FromGrpc(status);
}

// `open` starts the call for a request; `classify` says what a frame is and puts its token into the request.
// REQUIRES: the server was there. Unavailable once it was away for `patience`, be it before the first frame.
template <typename Request, typename Response>
absl::Status Resume(
    Request request, const StreamHost& host,
    const std::function<std::unique_ptr<grpc::ClientAsyncReader<Response>>(grpc::ClientContext*, const Request&,
                                                                          grpc::CompletionQueue*)>& open,
    const std::function<FrameKind(Request&, const Response&)>& classify,
    const std::function<Next(const Response&)>& on_frame) {
  int64_t last_heard = os::BootMilliseconds();
  absl::Duration delay = absl::ZeroDuration();
  bool noticed = false;
  while (true) {
    bool progress = false, finished = false;
    absl::Status status;
    {
      grpc::CompletionQueue queue;
      std::unique_ptr<grpc::ClientContext> context = host.make_context();
      auto reader = open(context.get(), request, &queue);
      reader->StartCall(nullptr);
      status = ReadStream<Response>(
          *reader, queue, *context, host,
          on_frame,
          [&](const Response& frame) {
            if (noticed) host.notice("server is back");
            noticed = false;
            return classify(request, frame);
          },
          &progress, &finished);
    }
    if (finished) return absl::OkStatus();
    if (host.interrupted()) return absl::CancelledError("interrupted");
    if (progress) {
      last_heard = os::BootMilliseconds();
      delay = absl::ZeroDuration();
    }
    // A cut stream ends with Unavailable, with Cancelled (the server's doing: ours is handled above), or,
    // when the server stops in good order, with OK and no End.
    const bool cut = status.ok() || absl::IsUnavailable(status) || absl::IsCancelled(status) || absl::IsUnknown(status);
    if (!cut) return status;
    if (os::BootMilliseconds() - last_heard > absl::ToInt64Milliseconds(host.patience)) {
      return absl::UnavailableError("the server went away and did not come back; the job goes on without it");
    }
    if (!noticed && !status.ok() && !progress) {
      noticed = true;
      host.notice("server went away, reconnecting ...");
    }
    delay = std::min(absl::Seconds(2), delay * 2 + absl::Milliseconds(50));
    host.pause(delay);
    if (host.interrupted()) return absl::CancelledError("interrupted");
  }
}

}  // namespace yoke::client
