// LD_PRELOAD library that makes one call on a folder's files fail, as a dying disk would:
//   YOKE_FAILING_DISK=CALL:N:ERRNO:FOLDER   the N-th CALL (open, write, sync or rename; counted from 1) on something in
//                                           FOLDER fails with the number ERRNO; N- ("3-"): that one and all after it
//   YOKE_FAILING_PROGRAM=NAME               only in processes of that program
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char call_[16], folder_[256];
static long from_, error_;
static int for_ever_;
static atomic_long seen_;

__attribute__((constructor)) static void Read(void) {
  const char* plan = getenv("YOKE_FAILING_DISK");
  const char* program = getenv("YOKE_FAILING_PROGRAM");
  char number[16];
  if (plan == NULL || (program != NULL && strcmp(program, program_invocation_short_name) != 0)) return;
  if (sscanf(plan, "%15[^:]:%15[^:]:%ld:%255s", call_, number, &error_, folder_) != 4) {
    fprintf(stderr, "YOKE_FAILING_DISK: cannot read '%s'\n", plan);
    _exit(125);
  }
  from_ = atol(number);
  for_ever_ = strchr(number, '-') != NULL;
}

static int FailsPath(const char* call, const char* path) {
  if (error_ == 0 || strcmp(call, call_) != 0 || path == NULL || strncmp(path, folder_, strlen(folder_)) != 0) return 0;
  const long number = atomic_fetch_add(&seen_, 1) + 1;
  if (number != from_ && !(for_ever_ && number > from_)) return 0;
  errno = (int)error_;
  return 1;
}

static int FailsFd(const char* call, int fd) {
  if (error_ == 0 || strcmp(call, call_) != 0) return 0;
  char link[32], path[512];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  return FailsPath(call, path);
}

#define NEXT(name) \
  static __typeof__(name)* next; \
  if (next == NULL) *(void**)&next = dlsym(RTLD_NEXT, #name)

#define OPEN(name) \
  int name(const char* path, int flags, ...) { \
    va_list rest; \
    va_start(rest, flags); \
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0; \
    va_end(rest); \
    NEXT(name); \
    return FailsPath("open", path) ? -1 : next(path, flags, mode); \
  }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void* bytes, size_t size) {
  NEXT(write);
  return FailsFd("write", fd) ? -1 : next(fd, bytes, size);
}
ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) {
  NEXT(pwrite);
  return FailsFd("write", fd) ? -1 : next(fd, bytes, size, at);
}
ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t at) {
  NEXT(pwrite64);
  return FailsFd("write", fd) ? -1 : next(fd, bytes, size, at);
}
int fsync(int fd) {
  NEXT(fsync);
  return FailsFd("sync", fd) ? -1 : next(fd);
}
int fdatasync(int fd) {
  NEXT(fdatasync);
  return FailsFd("sync", fd) ? -1 : next(fd);
}
int rename(const char* from, const char* to) {
  NEXT(rename);
  return FailsPath("rename", to) ? -1 : next(from, to);
}
