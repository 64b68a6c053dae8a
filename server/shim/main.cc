// yoke-shim: supervises one attempt and outlives the daemon that started it. One thread, no library.
//   yoke-shim --spec ATTEMPT_DIR/spec.json
#include <cstdio>
#include <cstring>

#include "server/shim/attempt.h"

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--spec") == 0) return yoke::shim::RunAttempt(argv[2]);
  std::fprintf(stderr, "usage: yoke-shim --spec ATTEMPT_DIR/spec.json\n");
  return yoke::shim::kUsage;
}
