// LD_PRELOAD library that makes some allocations fail, as a full device would:
//   YOKE_SCARCE_BYTES=FROM-TO  allocations of so many bytes fail (TO not included)
//   YOKE_SCARCE_RANK=N         only in the process that has RANK=N
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int Fails(size_t size) {
  static size_t from = 0, to = 0;
  static int ready = 0;
  if (!ready) {
    ready = 1;
    const char* bytes = getenv("YOKE_SCARCE_BYTES");
    const char* only = getenv("YOKE_SCARCE_RANK");
    const char* rank = getenv("RANK");
    if (bytes != NULL && (only == NULL || (rank != NULL && strcmp(only, rank) == 0))) {
      sscanf(bytes, "%zu-%zu", &from, &to);
    }
  }
  return size >= from && size < to;
}

int posix_memalign(void** memory, size_t alignment, size_t size) {
  static int (*next)(void**, size_t, size_t) = NULL;
  if (next == NULL) *(void**)&next = dlsym(RTLD_NEXT, "posix_memalign");
  return Fails(size) ? ENOMEM : next(memory, alignment, size);
}

void* __libc_malloc(size_t size);

void* malloc(size_t size) {
  if (!Fails(size)) return __libc_malloc(size);
  errno = ENOMEM;
  return NULL;
}
