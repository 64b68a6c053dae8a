// Reads logs from a daemon and prints what it saw as one line of JSON, for tests/bench/streams:
//   stream_load SOCKET JOB latency LOG COUNT   appends COUNT stamped lines to LOG, one each 20 ms,
//   and follows them stream_load SOCKET JOB throughput bytes|lines  reads what there is to the end
//   stream_load SOCKET JOB idle COUNT          follows COUNT times, each on a connection of its
//   own, until stdin ends; says
//                                              {"open": COUNT} once all have heard from the daemon
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/os/file.h"
#include "yoke/v1/stream.grpc.pb.h"

namespace yoke {
namespace {

int64_t Nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

std::shared_ptr<grpc::Channel> Connect(const std::string& socket) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(absl::StrCat("unix:", socket),
                                   grpc::InsecureChannelCredentials(), arguments);
}

v1::TailLogsRequest Request(const std::string& job, bool follow) {
  v1::TailLogsRequest request;
  request.set_name(job);
  request.set_follow(follow);
  return request;
}

int Fail(const grpc::Status& status) {
  std::fprintf(stderr, "stream_load: %s\n", status.error_message().c_str());
  return 1;
}

int Latency(const std::string& socket, const std::string& job, const std::string& log, int count) {
  auto stub = v1::StreamService::NewStub(Connect(socket));
  v1::TailLogsRequest request = Request(job, true);
  request.set_tail_lines(0);
  grpc::ClientContext context;
  auto reader = stub->TailLogs(&context, request);
  std::thread writer([&] {
    const auto fd = os::Open(log, O_WRONLY | O_APPEND);
    absl::SleepFor(absl::Seconds(1));
    for (int i = 0; fd.ok() && i < count; ++i) {
      os::WriteAll(fd->get(), absl::StrCat("stamp ", Nanoseconds(), "\n"), log).IgnoreError();
      absl::SleepFor(absl::Milliseconds(20));
    }
  });
  std::vector<double> milliseconds;
  std::string rest;
  for (v1::TailLogsResponse frame;
       static_cast<int>(milliseconds.size()) < count && reader->Read(&frame);) {
    const int64_t now = Nanoseconds();
    std::vector<std::string> lines = absl::StrSplit(absl::StrCat(rest, frame.chunk().data()), '\n');
    rest = lines.back();
    lines.pop_back();
    for (const std::string& line : lines) {
      int64_t stamp = 0;
      if (line.rfind("stamp ", 0) == 0 && absl::SimpleAtoi(line.substr(6), &stamp))
        milliseconds.push_back(static_cast<double>(now - stamp) / 1e6);
    }
  }
  writer.join();
  context.TryCancel();
  if (static_cast<int>(milliseconds.size()) < count)
    return Fail(grpc::Status(grpc::UNKNOWN, "the stream ended early"));
  std::sort(milliseconds.begin(), milliseconds.end());
  const auto at = [&](double share) {
    return milliseconds[static_cast<size_t>(share * static_cast<double>(milliseconds.size() - 1))];
  };
  absl::PrintF("{\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n", at(0.5), at(0.99),
               milliseconds.back());
  return 0;
}

int Throughput(const std::string& socket, const std::string& job, bool lines) {
  auto stub = v1::StreamService::NewStub(Connect(socket));
  v1::TailLogsRequest request = Request(job, false);
  request.set_lines(lines);
  grpc::ClientContext context;
  const int64_t begin = Nanoseconds();
  auto reader = stub->TailLogs(&context, request);
  int64_t bytes = 0, frames = 0;
  for (v1::TailLogsResponse frame; reader->Read(&frame); ++frames)
    bytes += static_cast<int64_t>(frame.chunk().data().size());
  const double seconds = static_cast<double>(Nanoseconds() - begin) / 1e9;
  if (const grpc::Status status = reader->Finish(); !status.ok()) return Fail(status);
  absl::PrintF("{\"bytes\": %d, \"frames\": %d, \"mb_per_second\": %.1f}\n", bytes, frames,
               static_cast<double>(bytes) / 1e6 / seconds);
  return 0;
}

class Idler : public grpc::ClientReadReactor<v1::TailLogsResponse> {
 public:
  Idler(const std::string& socket, const v1::TailLogsRequest& request, std::atomic<int>& heard,
        std::atomic<int>& ended)
      : heard_(heard),
        ended_(ended),
        request_(request),
        stub_(v1::StreamService::NewStub(Connect(socket))) {
    stub_->async()->TailLogs(&context_, &request_, this);
    StartRead(&frame_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (!std::exchange(any_, true)) ++heard_;
    StartRead(&frame_);
  }
  void OnDone(const grpc::Status&) override { ++ended_; }
  void Cancel() { context_.TryCancel(); }

 private:
  std::atomic<int>&heard_, &ended_;
  const v1::TailLogsRequest request_;
  const std::unique_ptr<v1::StreamService::Stub> stub_;
  grpc::ClientContext context_;
  v1::TailLogsResponse frame_;
  bool any_ = false;
};

int Idle(const std::string& socket, const std::string& job, int count) {
  std::atomic<int> heard = 0, ended = 0;
  std::vector<std::unique_ptr<Idler>> idlers;
  for (int i = 0; i < count; ++i)
    idlers.push_back(std::make_unique<Idler>(socket, Request(job, true), heard, ended));
  while (heard < count && ended == 0) absl::SleepFor(absl::Milliseconds(20));
  std::cout << absl::StrCat("{\"open\": ", heard.load(), "}") << std::endl;
  std::string line;
  std::getline(std::cin, line);
  const bool all = ended == 0;
  for (const auto& idler : idlers) idler->Cancel();
  while (ended < count) absl::SleepFor(absl::Milliseconds(20));
  return all ? 0 : Fail(grpc::Status(grpc::UNKNOWN, "some followers were ended"));
}

int Main(int argc, char** argv) {
  const std::string what = argc > 4 ? argv[3] : "";
  int count = 0;
  if (what == "latency" && argc == 6 && absl::SimpleAtoi(argv[5], &count) && count > 0)
    return Latency(argv[1], argv[2], argv[4], count);
  if (what == "throughput" && argc == 5)
    return Throughput(argv[1], argv[2], std::strcmp(argv[4], "lines") == 0);
  if (what == "idle" && argc == 5 && absl::SimpleAtoi(argv[4], &count) && count > 0)
    return Idle(argv[1], argv[2], count);
  std::fprintf(
      stderr,
      "usage: stream_load SOCKET JOB latency LOG COUNT | throughput bytes|lines | idle COUNT\n");
  return 2;
}

}  // namespace
}  // namespace yoke

int main(int argc, char** argv) { return yoke::Main(argc, argv); }
