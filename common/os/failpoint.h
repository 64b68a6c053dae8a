// Places where a test makes a fault happen. They exist only in builds with the CMake option
// YOKE_FAILPOINTS; in every other, what is installed among them, the macros leave nothing behind.
//
//   YOKE_FAILPOINT("store.commit.after");                            // may die or be delayed here
//   if (const int error = YOKE_FAILPOINT_ERROR("file.sync.before"))  // may also be told to fail
//   write(fd, data, YOKE_FAILPOINT_LENGTH("file.write.length", n));  // ... or to write less
//
// What happens is said by environment variables, which whatever the process starts inherits:
//   YOKE_FAILPOINTS          NAME=[N*off->][M*]ACTION, several joined by ';'. After N visits
//                            without effect come M with it (without M*: all). ACTION is
//                            error(ERRNO), delay(MS), kill9 or short(BYTES). "PROGRAM:NAME=..."
//                            means processes of that program only.
//   YOKE_FAILPOINTS_ONCE     a file: only the process that could create it acts, and only once
//   YOKE_FAILPOINTS_VISITED  a file that gets a line "PROGRAM:NAME" for each point come past
// A specification that cannot be read ends the process: a test that injects nothing proves nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef YOKE_FAILPOINTS
#define YOKE_FAILPOINT(name) static_cast<void>(::yoke::os::VisitFailpoint(name))
#define YOKE_FAILPOINT_ERROR(name) ::yoke::os::VisitFailpoint(name).error
#define YOKE_FAILPOINT_LENGTH(name, length) \
  ::yoke::os::Shortened(::yoke::os::VisitFailpoint(name), length)
#else
#define YOKE_FAILPOINT(name) static_cast<void>(0)
#define YOKE_FAILPOINT_ERROR(name) 0
#define YOKE_FAILPOINT_LENGTH(name, length) (length)
#endif

#ifdef YOKE_FAILPOINTS
namespace yoke::os {

struct FailpointEffect {
  int error = 0;             // errno to fail with; 0: none
  size_t length = SIZE_MAX;  // of what was to be written
};

// Thread-safe. `name` as written in the source: tests/faults/failpoints.py lists them from there.
FailpointEffect VisitFailpoint(const char* name);

inline size_t Shortened(const FailpointEffect& effect, size_t length) {
  return effect.length < length ? effect.length : length;
}

}  // namespace yoke::os
#endif
