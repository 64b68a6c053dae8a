// Where a training that is continued lies. Without LibTorch, so that all of the worker may ask.
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

namespace yoke::engine {

// The run folder that `resume` means: itself, or the one its file lies in
// (RUN/weights/last.pt, RUN/checkpoints/a.ckpt).
inline std::string RunFolderOf(const std::string& resume) {
  const std::filesystem::path path = std::filesystem::path(resume).lexically_normal();
  std::error_code none;
  if (std::filesystem::is_directory(path, none)) return path.string();
  return path.parent_path().parent_path().string();
}

}  // namespace yoke::engine
