// A folder of one test, gone with it.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>

#include "common/base/check.h"

namespace yoke {

class TempFolder {
 public:
  TempFolder() : path_((std::filesystem::temp_directory_path() / "yoke-test-XXXXXX").string()) {
    YOKE_CHECK_MSG(mkdtemp(path_.data()) != nullptr, path_);
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  // The absolute path of `name` inside.
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  // Writes the file `name`, folders on the way included; returns its path.
  std::string Write(const std::string& name, std::string_view bytes) const {
    const std::string path = *this / name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

 private:
  std::string path_;
};

inline std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace yoke
