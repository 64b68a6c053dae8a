// yoke-worker: one rank of one attempt, or its preparation. Started by yoke-shim, or by hand as
// torchrun would.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/ipc/attempt_files.h"
#include "server/worker/probe.h"
#include "server/worker/run.h"

namespace {

constexpr char kUsage[] =
    "usage: yoke-worker [--prepare] --spec FILE   run a rank of an attempt, or check what it "
    "needs\n"
    "       yoke-worker --probe                   what can this machine compute with (JSON)\n"
    "       yoke-worker --version\n"
    "FILE is the attempt's spec.json, by default $YOKE_SPEC. RANK, LOCAL_RANK and WORLD_SIZE are "
    "read as\n"
    "torchrun sets them.\n";

int Refuse(const std::string& what) {
  std::fprintf(stderr, "yoke-worker: %s\n%s", what.c_str(), kUsage);
  return yoke::ipc::kWorkerError;
}

}  // namespace

int main(int argc, char** argv) {
  const char* variable = std::getenv(yoke::ipc::kSpecVariable);
  std::string spec = variable == nullptr ? "" : variable;
  bool prepare = false;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--prepare") {
      prepare = true;
    } else if (flag == "--probe") {
      std::puts(yoke::worker::Probe().dump().c_str());
      return yoke::ipc::kWorkerOk;
    } else if (flag == "--version") {
      std::puts("yoke-worker " YOKE_VERSION);
      return yoke::ipc::kWorkerOk;
    } else if (flag == "--help" || flag == "-h") {
      std::fputs(kUsage, stdout);
      return yoke::ipc::kWorkerOk;
    } else if (flag == "--spec" && i + 1 < argc) {
      spec = argv[++i];
    } else {
      return Refuse(flag == "--spec" ? "--spec needs a file" : "unknown option " + flag);
    }
  }
  if (spec.empty()) return Refuse("which attempt? give --spec FILE");
  return prepare ? yoke::worker::RunPrepare(spec) : yoke::worker::RunRank(spec);
}
