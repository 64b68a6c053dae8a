#pragma once

#include <filesystem>
#include <string>
#include <utility>

namespace yoke::store {

// A database as it was at one moment: with its log, which only a close would fold in.
class KeptDatabase {
 public:
  // `folder` is made for the copy.
  KeptDatabase(std::string database, std::string folder)
      : database_(std::move(database)), folder_(std::move(folder)) {}

  void Keep() const {
    std::filesystem::create_directory(folder_);
    for (const char* end : {"", "-wal"}) {
      if (std::filesystem::exists(database_ + end)) {
        std::filesystem::copy_file(database_ + end, folder_ + "/db" + end,
                                   std::filesystem::copy_options::overwrite_existing);
      }
    }
  }
  // REQUIRES: nobody has the database open.
  void PutBack() const {
    for (const char* end : {"", "-wal", "-shm"}) {
      std::filesystem::remove(database_ + end);
      if (std::filesystem::exists(folder_ + "/db" + end))
        std::filesystem::copy_file(folder_ + "/db" + end, database_ + end);
    }
  }

 private:
  const std::string database_, folder_;
};

}  // namespace yoke::store
