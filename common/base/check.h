// YOKE_CHECK: for what cannot fail. Prints the condition, the place and a message, and aborts.
// What can fail is an absl::Status instead.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#define YOKE_CHECK(condition) YOKE_CHECK_MSG(condition, std::string())

#define YOKE_CHECK_MSG(condition, message)                                              \
  do {                                                                                  \
    if (!(condition)) {                                                                 \
      std::fprintf(stderr, "%s:%d: check failed: %s %s\n", __FILE__, __LINE__, #condition, \
                   std::string(message).c_str());                                       \
      std::abort();                                                                     \
    }                                                                                   \
  } while (0)
