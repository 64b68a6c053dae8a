// Does one thing wrong on purpose, or nothing. A sanitizer has to say so.
//   planted_mistakes NAME
#include <atomic>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "grpcpp/grpcpp.h"
#include "tests/support/temp_folder.h"
#include "yoke/v1/system.grpc.pb.h"

namespace yoke {
namespace {

constexpr int kThreads = 4;
constexpr int kCalls = 50;

void InThreads(const std::function<void()>& work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
}

// Counts its calls, under a mutex if told so.
class Counting final : public v1::SystemService::Service {
 public:
  explicit Counting(bool locked) : locked_(locked) {}

  grpc::Status GetServerInfo(grpc::ServerContext*, const v1::GetServerInfoRequest*,
                             v1::GetServerInfoResponse* response) override {
    if (locked_) {
      MutexLock lock(mutex_);
      ++calls_;
    } else {
      ++calls_;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    response->set_version("planted");
    return grpc::Status::OK;
  }

 private:
  const bool locked_;
  Mutex mutex_;
  int calls_ = 0;
};

void Serve(bool locked) {
  const TempFolder folder;
  const std::string address = "unix:" + folder.path() + "/s";
  Counting service(locked);
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  InThreads([&address] {
    const auto stub = v1::SystemService::NewStub(
        grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
    for (int i = 0; i < kCalls; ++i) {
      grpc::ClientContext context;
      v1::GetServerInfoResponse response;
      if (!stub->GetServerInfo(&context, {}, &response).ok()) std::abort();
    }
  });
  server->Shutdown();
}

void Race() {
  int count = 0;
  InThreads([&count] {
    for (int i = 0; i < 1000; ++i) ++count;
  });
  std::printf("%d\n", count);
}

void UseAfterFree() {
  volatile int* volatile number = new int(1);  // hidden from the compiler, which would warn
  delete number;
  std::printf("%d\n", *number);
}

void Overflow() {
  volatile int number = INT_MAX;
  number = number + 1;
}

int Main(int argc, char** argv) {
  const std::map<std::string, std::function<void()>> mistakes = {
      {"none", [] { Serve(true); }},
      {"race", Race},
      {"race_of_handlers", [] { Serve(false); }},
      {"use_after_free", UseAfterFree},
      {"overflow", Overflow}};
  const auto found = mistakes.find(argc == 2 ? argv[1] : "");
  if (found == mistakes.end()) {
    std::fprintf(stderr, "planted_mistakes NAME; the names:");
    for (const auto& [name, make] : mistakes) std::fprintf(stderr, " %s", name.c_str());
    std::fprintf(stderr, "\n");
    return 2;
  }
  found->second();
  return 0;
}

}  // namespace
}  // namespace yoke

int main(int argc, char** argv) { return yoke::Main(argc, argv); }
