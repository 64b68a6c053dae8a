// A folder of one test, gone with it.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>
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

 private:
  std::string path_;
};

}  // namespace yoke
