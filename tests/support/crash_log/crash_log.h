// Power loss as a test: records what a program writes and syncs below one folder, and makes the
// images that a crash at any moment could leave on the disk.
//
//   crash_log::Record(folder);                 // what is in it now counts as durable
//   ... the program works; crash_log::Position() after each promise it made ...
//   crash_log::Disk disk(crash_log::Stop());
//   disk.AdvanceTo(position);                  // forward only
//   disk.WriteImage(other_folder, seed);       // one of the images possible there
//
// Stands in for libc's write, pwrite, ftruncate, fsync, fdatasync, open, rename and unlink in the
// program that links it, so that SQLite's files and our own are in one log. What is written through
// mmap (the -shm file) is not seen and not kept.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace yoke::crash_log {

struct Op {
  enum Kind { kWrite, kTruncate, kSync, kCreate, kRename, kUnlink, kSyncFolder };
  Kind kind = kWrite;
  uint64_t inode = 0;
  int64_t offset = 0;  // kTruncate: the size
  std::string bytes;
  std::string name, new_name;  // inside the folder
};

struct Log {
  std::map<std::string, uint64_t> names;  // at the start
  std::map<uint64_t, std::string> contents;
  std::vector<Op> ops;
};

// One recording at a time; any thread may write meanwhile. Files directly in `folder` only.
void Record(const std::string& folder);
// Operations so far. What is promised at this moment must hold in every image from here on.
size_t Position();
Log Stop();

// A disk that keeps what was synced and, of the rest, whatever it likes.
class Disk {
 public:
  explicit Disk(const Log& log);
  // After the first `position` operations. REQUIRES: not less than before.
  void AdvanceTo(size_t position);
  // Replaces the folder by one image. Unsynced writes are all dropped, all kept, or kept in part:
  // each piece of 512 or 4096 bytes as it was after any number of them, file sizes and names
  // likewise.
  void WriteImage(const std::string& folder, uint64_t seed) const;

 private:
  struct File {
    std::string durable;
    std::vector<const Op*> pending;
  };
  std::string Content(const File& file, int mode, std::mt19937_64& random) const;

  const Log& log_;
  size_t position_ = 0;
  std::map<uint64_t, File> files_;
  std::map<std::string, uint64_t> durable_names_;
  std::vector<const Op*> pending_names_;
};

}  // namespace yoke::crash_log
