// yoked: owns the devices and the queue of this machine, and serves the API. A table of contents: configuration ->
// objects -> serve -> stop in reverse.
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "CLI/CLI.hpp"
#include "absl/debugging/failure_signal_handler.h"
#include "absl/debugging/symbolize.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/log/log.h"
#include "common/os/failpoint.h"
#include "common/os/process.h"
#include "grpc/grpc.h"
#include "grpcpp/grpcpp.h"
#include "server/daemon/config.h"
#include "server/daemon/core.h"
#include "server/daemon/heartbeat.h"
#include "server/daemon/listener.h"
#include "server/daemon/socket.h"
#include "server/service/authorizer.h"
#include "server/service/services.h"
#include "spdlog/spdlog.h"

namespace yoke::daemon {
namespace {

constexpr std::chrono::milliseconds kConnectionsPatience(100);

// As the command line's: 1 error, 2 usage, 6 precondition.
int ExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk: return 0;
    case absl::StatusCode::kInvalidArgument: return 2;
    case absl::StatusCode::kFailedPrecondition: return 6;
    default: return 1;
  }
}

int Report(const absl::Status& status) {
  if (!status.ok()) std::fprintf(stderr, "yoked: %s\n", std::string(status.message()).c_str());
  return ExitCode(status);
}

std::optional<std::string> ProcessEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

absl::StatusOr<Config> LoadConfig(const std::string& file, const std::map<std::string, std::string>& flags) {
  Config config = DefaultConfig(ProcessEnvironment, geteuid() == 0);
  if (!file.empty()) YOKE_RETURN_IF_ERROR(ApplyYaml(file, config));
  YOKE_RETURN_IF_ERROR(ApplyEnvironment(ProcessEnvironment, config));
  for (const auto& [name, value] : flags) {
    if (const absl::Status applied = ApplyValue(name, value, config); !applied.ok()) return absl::InvalidArgumentError(absl::StrCat("--", applied.message()));
  }
  if (config.state.empty()) return absl::InvalidArgumentError("--state is empty; name a folder for jobs and database");
  if (!config.listen.empty()) YOKE_RETURN_IF_ERROR(CheckLoopback(config.listen));
  if (config.containment != "auto" && config.containment != "subreaper") {
    return absl::InvalidArgumentError(absl::StrCat("--containment takes auto or subreaper, not '", config.containment, "'"));
  }
  return config;
}

// When memory runs out a rank shall go, not the queue. Granted only where the daemon may ask for it.
constexpr int kOomScore = -900;

// SIGTERM and SIGINT wait for WaitForStop in every thread made from now on. Programs we start get an empty mask.
sigset_t BlockStopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

// Each follower, job and reader of the database holds descriptors: as many as this user may have.
void AllowDescriptors() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Serving threads come and go, each with a heap of its own that is never given back: of so many, a daemon that only
// answers small calls would keep tens of MiB.
void ShareHeaps() { mallopt(M_ARENA_MAX, 2); }

absl::Status Serve(const Config& config) {
  ShareHeaps();
  AllowDescriptors();
  os::SetOomScore(0, kOomScore);
  YOKE_RETURN_IF_ERROR(log::SetUp(config.log_level));
  const sigset_t stop_signals = BlockStopSignals();
  // Never given back: whoever gives back the last one may wait 10 s for a thread of gRPC's.
  grpc_init();
  YOKE_ASSIGN_OR_RETURN(const std::unique_ptr<Core> core, Core::Open(config));
  YOKE_RETURN_IF_ERROR(PrepareSocket(config.socket));

  service::AuthorizerOptions authorizing;
  if (!config.listen.empty()) {
    YOKE_ASSIGN_OR_RETURN(authorizing.token, service::LoadOrCreateToken(config.state + "/token"));
  }
  const std::unique_ptr<service::Authorizer> authorizer = service::MakeAuthorizer(authorizing);
  service::ServiceDeps deps;
  deps.store = &core->store();
  deps.control = &core->control();
  deps.inventory = &core->inventory();
  deps.authorizer = authorizer.get();
  deps.facts = {YOKE_VERSION, std::filesystem::absolute(config.state).lexically_normal().string(), absl::Now(), config.queue_length_max, core->warnings(),
                core->containment()};
  const std::unique_ptr<service::Services> services = service::Services::Make(deps);

  grpc::ServerBuilder builder;
  service::ConfigureServer(builder);
  services->RegisterOn(builder);
  Listener listener;
  YOKE_RETURN_IF_ERROR(listener.ListenOnSocket(config.socket));
  if (!config.listen.empty()) YOKE_RETURN_IF_ERROR(listener.ListenOnPort(config.listen).status());
  auto acceptor = builder.experimental().AddExternalConnectionAcceptor(grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
                                                                       grpc::InsecureServerCredentials());
  YOKE_FAILPOINT("daemon.serve.before");
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return absl::InternalError("the server of gRPC cannot be started");
  listener.Start(std::move(acceptor));
  YOKE_FAILPOINT("daemon.serve.after");
  YOKE_RETURN_IF_ERROR(core->Begin([&services] { services->JobsChanged(); }, [&services] { services->DevicesChanged(); }));
  spdlog::info("yoked {} serves on {}{}; state in {}", YOKE_VERSION, config.socket,
               config.listen.empty() ? "" : absl::StrCat(" and ", config.listen), config.state);
  NotifyServiceManager("READY=1");
  const std::optional<absl::Duration> watchdog = WatchdogLimit(ProcessEnvironment);
  auto heartbeat = std::make_unique<Heartbeat>(watchdog, [&core, watchdog] { return core->Stuck(*watchdog); });

  int signal_number = 0;
  sigwait(&stop_signals, &signal_number);
  spdlog::info("{}: stopping; running jobs go on", strsignal(signal_number));
  heartbeat.reset();
  NotifyServiceManager("STOPPING=1");
  YOKE_FAILPOINT("daemon.stop.before");
  listener.Stop();
  services->Shutdown();
  // What is left are connections of clients that are not listening.
  server->Shutdown(std::chrono::system_clock::now() + kConnectionsPatience);
  YOKE_FAILPOINT("daemon.stop.after");
  core->End();  // before the services, which it calls, are gone
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  absl::InitializeSymbolizer(argv[0]);
  absl::InstallFailureSignalHandler({});
  CLI::App app("yoked: trains and labels on the devices of this machine, one queue for all who ask.", "yoked");
  app.set_version_flag("--version", absl::StrCat("yoked ", YOKE_VERSION));
  std::string file;
  app.add_option("--config", file, "YAML file with any of the settings below (worker_path: ...)");
  bool print = false;
  app.add_flag("--print-config", print, "print the settings that would be used, as YAML, and end");
  std::map<std::string, std::string> flags;
  for (const ConfigKey& key : ConfigKeys()) {
    app.add_option_function<std::string>(key.Flag(), [&flags, name = key.name](const std::string& value) { flags[name] = value; }, key.help);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::StatusOr<Config> config = LoadConfig(file, flags);
  if (!config.ok()) return Report(config.status());
  if (print) {
    std::fputs(PrintConfig(*config).c_str(), stdout);
    return 0;
  }
  return Report(Serve(*config));
}

}  // namespace
}  // namespace yoke::daemon

int main(int argc, char** argv) { return yoke::daemon::Main(argc, argv); }
